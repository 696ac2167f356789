"""A song leaves the same files whichever way its workflow runs: here, as a row of a batch, or on a server."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from acestep_core.host.client.batch import Journal, Row, run_batch
from acestep_core.host.client.client import HostClient
from acestep_core.host.client.local import LocalRunner
from acestep_core.host.graph.context import Folders
from tests.host.lab_site import open_site

ROOT = Path(__file__).parents[2]
ENDS = {".flac", ".json", ".lrc", ".vtt", ".srt", ".zip"}


def names(folder: Path, stem: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob(f"{stem}*") if path.is_file()}


@pytest.fixture
def karaoke(stage: Any) -> Any:
    return stage.quick("karaoke", Save__zip=True, Save__filename_prefix="sung/song")


def test_run_batch_and_queue_bring_the_same_files(stage: Any, karaoke: Any, tmp_path: Path) -> None:
    async def main() -> None:
        runner = LocalRunner(Folders.under(tmp_path / "local", models=stage.folders.models), [ROOT])
        alone = await runner.run(karaoke, tmp_path / "alone")
        rows: list[Row] = []
        journal = Journal(tmp_path / "batch" / "rows.journal.jsonl")

        async def one(workflow: Any, folder: Path, prompt_id: str) -> Any:
            return await runner.run(workflow, folder, prompt_id=prompt_id)

        assert await run_batch(karaoke, [{}], one, rows.append, journal), rows
        folders = Folders.under(tmp_path / "server", models=stage.folders.models)
        async with open_site(tmp_path, folders=folders, packs=(ROOT,)) as site, HostClient(site.url) as client:
            sent = await client.run(karaoke, tmp_path / "queue")
        saved = names(tmp_path / "alone", "song")
        assert {Path(name).suffix for name in saved} == ENDS
        assert {path.name for path in alone.paths} >= {Path(name).name for name in saved}
        assert {path.name for path in sent.paths} == {path.name for path in alone.paths}
        for folder in (tmp_path / "batch", tmp_path / "queue", folders.output):
            assert names(folder, "song") == saved, folder.name

    asyncio.run(main())
