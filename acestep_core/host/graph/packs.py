"""Node packs: folders with an `__init__.py` that ComfyUI would load, and the registry of what they contain."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import acestep_core
from acestep_core.errors import GraphError
from acestep_core.host.graph import nodedef
from acestep_core.host.graph.context import Routes, loading
from acestep_core.host.graph.nodedef import NodeDef, Reader

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pack:
    """What one pack registers. `modules` says per node which module the frontend is told; it decides badge and help."""

    name: str
    classes: Mapping[str, Any]
    titles: Mapping[str, str] = field(default_factory=dict)
    root: Path | None = None
    web: Path | None = None
    modules: Mapping[str, str] = field(default_factory=dict)
    routes: Routes = field(default_factory=Routes)

    def module_of(self, node_id: str) -> str:
        return self.modules.get(node_id, f"custom_nodes.{self.name}")


def load_pack(root: Path) -> Pack:
    """Imports the folder `root` under a private module name, as ComfyUI imports a folder in `custom_nodes`.

    Raises:
        GraphError: the folder holds no classic node pack, or importing it fails.
    """
    root = root.resolve()
    entry = root / "__init__.py"
    if not entry.is_file():
        raise GraphError(f"{root.name!r} is no node pack, it has no __init__.py; name the pack's folder with --pack.")
    name = f"_node_pack_{hashlib.sha256(str(root).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, entry, submodule_search_locations=[str(root)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with loading() as routes:
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise GraphError(f"The node pack {root.name!r} cannot be imported; repair it: {error}.") from error
    classes = getattr(module, "NODE_CLASS_MAPPINGS", None)
    if not isinstance(classes, Mapping):
        raise GraphError(f"The folder {root.name!r} defines no NODE_CLASS_MAPPINGS; only classic packs can be loaded.")
    web = getattr(module, "WEB_DIRECTORY", None)
    return Pack(
        name=root.name,
        classes=dict(classes),
        titles=dict(getattr(module, "NODE_DISPLAY_NAME_MAPPINGS", None) or {}),
        root=root,
        web=(root / web).resolve() if web and (root / web).is_dir() else None,
        routes=routes,
    )


def find_pack() -> Path | None:
    """The folder of the pack that this library belongs to, or None where only the library is installed."""
    library = Path(acestep_core.__file__).resolve().parent
    for folder in (library.parent, library.parent / "acestep_nodes"):  # a checkout, an installed wheel
        entry = folder / "__init__.py"
        if entry.is_file() and "NODE_CLASS_MAPPINGS" in entry.read_text(encoding="utf-8"):
            return folder
    return None


class Registry:
    """All node types the host can run. A type that two packs define belongs to the first."""

    def __init__(self, packs: Iterable[Pack]) -> None:
        self.packs = tuple(packs)
        self._owners: dict[str, Pack] = {}
        for pack in self.packs:
            for node_id in pack.classes:
                self._owners.setdefault(node_id, pack)

    def __contains__(self, node_id: object) -> bool:
        return isinstance(node_id, str) and node_id in self._owners

    def __iter__(self) -> Any:
        return iter(self._owners)

    def cls(self, node_id: str) -> Any:
        return self._owners[node_id].classes[node_id]

    def reader(self) -> Reader:
        """Reads each definition once; make one per prompt, as choices may change between prompts."""

        @cache
        def read(node_id: str) -> NodeDef:
            return nodedef.read(node_id, self.cls(node_id))

        return read

    def title(self, node_id: str) -> str:
        return self._owners[node_id].titles.get(node_id, node_id)

    def describe(self, node_id: str) -> dict[str, Any]:
        """The entry of one node in `/object_info`."""
        pack = self._owners[node_id]
        return nodedef.describe(node_id, pack.classes[node_id], self.title(node_id), pack.module_of(node_id))

    def definitions(self) -> dict[str, dict[str, Any]]:
        """`/object_info` of all nodes. One whose class is broken is left out and logged; the others stay usable."""
        found = {}
        for node_id in self._owners:
            try:
                found[node_id] = self.describe(node_id)
            except Exception:  # the class is foreign code
                _log.exception("The node %s cannot be described and is left out.", node_id)
        return found
