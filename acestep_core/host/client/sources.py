"""Which local files a workflow may name. Workflows come from strangers, and what they name is sent to a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from acestep_core.errors import AudioError, GraphError, InvalidInput
from acestep_core.host.graph.paths import split_annotation
from acestep_core.host.graph.workflow import Workflow
from acestep_core.io.confine import confine
from acestep_core.io.decode import opened
from acestep_core.io.names import as_pasted


@dataclass(frozen=True)
class Sources:
    """Recordings in `folders` may be named, best folder first; beyond these, what the user `allowed` by name.

    `allowed` holds files, of any kind, and folders, whose recordings may be named.
    """

    folders: Sequence[Path]
    allowed: Sequence[Path] = ()

    def of(self, workflow: Workflow) -> Iterator[tuple[str, str, Path]]:
        """`(node id, input, file)` of every input that names a local file; other names are the server's.

        Raises:
            GraphError: a file lies elsewhere, or is no recording.
        """
        for node_id, name, value in workflow.files():
            path = self._find(value)
            if path is not None:
                yield node_id, name, path

    def check(self, workflow: Workflow) -> None:
        """Raises GraphError if the workflow names a file that it may not."""
        for _ in self.of(workflow):
            pass

    def _find(self, value: str) -> Path | None:
        if not value or split_annotation(value)[1] is not None:
            return None
        named = Path(as_pasted(value)).expanduser()
        allowed = [path.expanduser().absolute() for path in self.allowed]
        if named.absolute() in allowed:
            return named.resolve() if named.is_file() else None
        try:
            path = confine(named, [*self.folders, *allowed])
        except InvalidInput:
            raise GraphError(
                f"The workflow names the file {value!r}, which is in none of its folders; "
                "add --allow-file with that name if it may be used."
            ) from None
        if not path.is_file():
            return None
        if not is_recording(path):
            raise GraphError(
                f"The workflow names {value!r}, which is no recording; "
                "add --allow-file with that name if it may be used."
            )
        return path


def is_recording(path: Path) -> bool:
    """Whether the file opens as audio, in any container that is read; only its beginning is decoded."""
    try:
        with opened(path):
            return True
    except AudioError:
        return False
