"""What the canvas asks for when a graph of other ACE-Step nodes is opened, or a request of another program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .routes import answered, asked_of

_MOST_NAME = 100


def add_routes(routes: Any) -> None:
    """Adds it to what has aiohttp's `post` decorator."""

    @routes.post("/acestep/import")
    async def migrate(request: Any) -> Any:
        return await answered(_migrate, await asked_of(request))


def _migrate(asked: Mapping[str, Any]) -> dict[str, Any]:
    """`{graph, name}` -> `{workflow, notes}`: the canvas file of our nodes, and what could not be carried."""
    from acestep_core.host.graph.migrate.migration import migrated
    from acestep_core.host.graph.packs import Pack, Registry
    from acestep_core.host.graph.stock_nodes import PACKS

    from .registry import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

    ours = Pack("acestep-nodes", NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS)
    name = str(asked.get("name") or "The graph")[:_MOST_NAME]
    made = migrated(asked.get("graph"), Registry([*PACKS, ours]).definitions(), name)
    return {"workflow": made.canvas, "notes": made.notes}
