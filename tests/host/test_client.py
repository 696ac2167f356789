"""The client against a running host: uploads, progress, results, failures, and joining what already runs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from acestep_core.errors import Cancelled, GraphError, HostError, StorageError
from acestep_core.host.client.client import HostClient
from acestep_core.host.client.local import LocalRunner
from acestep_core.host.client.sources import Sources
from acestep_core.host.graph.context import Folders
from acestep_core.host.graph.workflow import parse_workflow
from acestep_core.host.queue.results import RunFailed, Update
from acestep_core.host.server.security import Policy
from tests.capabilities import needs_kills
from tests.crash_sweep import sweep
from tests.host.lab_site import LAB_PACK, Site, eventually, open_site, with_site
from tests.host.test_server import SLOW, runs, wav

EXAMPLE = LAB_PACK / "example_workflows" / "lab_basic.json"


def outside(site: Site) -> Path:
    """A folder that the host does not know."""
    return site.folders.output.parent / "elsewhere"


@with_site()
async def test_run_watch_and_download(site: Site) -> None:
    updates: list[Update] = []
    async with HostClient(site.url) as client:
        workflow = (await client.load(EXAMPLE)).with_inputs({"tone.seconds": 0.5})
        result = await client.run(workflow, outside(site), updates.append)
    assert result.paths == [outside(site) / "audio" / "lab_00001_.flac"]
    assert result.paths[0].read_bytes() == (site.folders.output / "audio" / "lab_00001_.flac").read_bytes()
    assert [update.node_id for update in updates if update.kind == "node"] == ["1", "2", "3"]
    assert [update.value for update in updates if update.kind == "progress"] == [1, 2, 3, 4]


@with_site()
async def test_local_files_are_uploaded(site: Site) -> None:
    outside(site).mkdir()
    (outside(site) / "voice.wav").write_bytes(wav(0.5))
    prompt = {
        "1": {"class_type": "LoadAudio", "inputs": {"audio": "voice.wav"}},
        "2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "x"}},
    }
    async with HostClient(site.url) as client:
        workflow = parse_workflow(prompt, await client.definitions())
        sent: list[tuple[Path, str]] = []
        prepared = await client.prepare(workflow, Sources([outside(site)]), lambda *both: sent.append(both))
        assert sent == [(outside(site) / "voice.wav", "voice.wav")]
        result = await client.run(prepared, outside(site) / "out")
        assert prepared.prompt["1"]["inputs"]["audio"] == "voice.wav"
        assert (site.folders.input / "voice.wav").read_bytes() == wav(0.5)
        assert [path.name for path in result.paths] == ["x_00001_.flac"]
        untouched = await client.prepare(workflow, Sources([outside(site) / "nowhere"]))
        assert untouched.prompt == workflow.prompt


@with_site()
async def test_texts_are_results_too(site: Site) -> None:
    prompt = {
        "1": {"class_type": "LabStatus", "inputs": {"text": "hello"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    updates: list[Update] = []
    async with HostClient(site.url) as client:
        result = await client.run(parse_workflow(prompt, await client.definitions()), outside(site), updates.append)
    assert result.texts == {"2": ["hello"]} and result.files == {}
    assert Update("text", "1", text="working on hello") in updates


@with_site()
async def test_failures_say_which_node(site: Site) -> None:
    failing = {**SLOW, "3": {"class_type": "LabError", "inputs": {"audio": ["2", 0], "kind": "value"}}}
    failing["3"]["_meta"] = {"title": "The culprit"}
    async with HostClient(site.url) as client:
        definitions = await client.definitions()
        with pytest.raises(RunFailed, match=r"'The culprit' \(3, LabError\) failed: lab error: bad value"):
            await client.run(parse_workflow(failing, definitions), outside(site))
        invalid = {**SLOW, "2": {"class_type": "LabTone", "inputs": {}}}
        with pytest.raises(RunFailed, match="Required input is missing: seconds"):
            await client.run(parse_workflow(invalid, definitions), outside(site))
        with pytest.raises(GraphError, match="'Nope'"):
            parse_workflow({"1": {"class_type": "Nope", "inputs": {}}}, definitions)


def test_a_failure_is_told_once_here_and_logged_once_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    silence = {"duration": 1.0, "sample_rate": 8000, "channels": 1}
    prompt = {
        "1": {"class_type": "EmptyAudio", "inputs": silence},
        "2": {"class_type": "SplitAudioChannels", "inputs": {"audio": ["1", 0]}},
        "3": {"class_type": "PreviewAudio", "inputs": {"audio": ["2", 0]}},
    }
    runner = LocalRunner(Folders.under(tmp_path), [LAB_PACK])
    workflow = parse_workflow(prompt, runner.registry.definitions())
    with pytest.raises(RunFailed, match="Only stereo can be split"):
        asyncio.run(runner.run(workflow))
    assert not caplog.records  # the error is what is told

    async def on_a_server() -> None:
        async with open_site(tmp_path / "server") as site:
            await site.run(prompt)

    asyncio.run(on_a_server())
    assert [record.getMessage().count("Only stereo can be split") for record in caplog.records] == [1]


@with_site()
async def test_a_workflow_that_is_valid_in_part_does_not_run(site: Site) -> None:
    partial = {**SLOW, "5": {"class_type": "LabError", "inputs": {"audio": ["2", 0], "kind": "oom"}}}
    partial["6"] = {"class_type": "PreviewAudio", "inputs": {"audio": ["5", 0]}}
    async with HostClient(site.url) as client:
        with pytest.raises(RunFailed, match="oom is not allowed"):
            await client.run(parse_workflow(partial, await client.definitions()), outside(site))
        await eventually(lambda: site.host.queue.remaining() == 0)


@with_site()
async def test_a_cancel_from_elsewhere(site: Site) -> None:
    async with HostClient(site.url) as client:
        workflow = parse_workflow(SLOW, await client.definitions())
        run = asyncio.create_task(client.run(workflow, outside(site)))
        await runs(site)
        await site.post("/interrupt")
        with pytest.raises(Cancelled):
            await run


@with_site()
async def test_giving_up_takes_the_prompt_off_the_server(site: Site) -> None:
    async with HostClient(site.url) as client:
        workflow = parse_workflow(SLOW, await client.definitions())
        run = asyncio.create_task(client.run(workflow, outside(site)))
        await runs(site)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await eventually(lambda: site.host.queue.remaining() == 0)


@with_site()
async def test_a_run_the_server_knows_is_joined(site: Site) -> None:
    async with HostClient(site.url) as client:
        workflow = await client.load(EXAMPLE)
        first = await client.run(workflow, outside(site), prompt_id="row-1")
        second = await client.run(workflow, outside(site), prompt_id="row-1")
        assert first.paths == second.paths
        assert len(site.host.history.summaries()) == 1
        failing = {**SLOW, "3": {"class_type": "LabError", "inputs": {"audio": ["2", 0], "kind": "value"}}}
        broken = parse_workflow(failing, await client.definitions())
        with pytest.raises(RunFailed):
            await client.run(broken, outside(site), prompt_id="row-2")
        third = await client.run(workflow, outside(site), prompt_id="row-2")
        assert third.prompt_id != "row-2"


@with_site()
async def test_a_deleted_prompt_does_not_hang(site: Site) -> None:
    async with HostClient(site.url) as client:
        await site.post("/prompt", {"prompt": SLOW})
        await runs(site)
        workflow = await client.load(EXAMPLE)
        run = asyncio.create_task(client.run(workflow, outside(site)))
        await eventually(lambda: site.host.queue.remaining() == 2)
        await site.post("/queue", {"clear": True})
        with pytest.raises(HostError, match="no longer knows"):
            await asyncio.wait_for(run, 60)
        await site.post("/interrupt")


@pytest.mark.parametrize("remembers", [True, False])
def test_a_server_that_is_restarted_gets_the_workflow_again(tmp_path: Path, remembers: bool) -> None:
    """Ours remembers it; of another one, such as ComfyUI, all is gone but its input folder."""

    async def main() -> None:
        async with open_site(tmp_path, port=0) as first:
            port = int(first.url.rsplit(":", 1)[1])
            await first.post("/prompt", {"prompt": SLOW})
            client = await HostClient(first.url).__aenter__()
            run = asyncio.create_task(client.run(await client.load(EXAMPLE), tmp_path / "out"))
            await eventually(lambda: first.host.queue.remaining() == 2)
            if not remembers:
                first.host.queue.clear()
        async with open_site(tmp_path, port=port) as second:
            result = await run
            assert result.paths == [tmp_path / "out/audio/lab_00001_.flac"]
            assert [summary["id"] for summary in second.host.history.summaries()][-1] == result.prompt_id
            await client.__aexit__()

    asyncio.run(main())


def test_a_server_that_stays_away_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acestep_core.host.client.client._RETRIES", 1)

    async def main() -> None:
        async with open_site(tmp_path) as site:
            await site.post("/prompt", {"prompt": SLOW})
            client = await HostClient(site.url, patience=0).__aenter__()
            run = asyncio.create_task(client.run(await client.load(EXAMPLE), tmp_path / "out"))
            await eventually(lambda: site.host.queue.remaining() == 2)
        with pytest.raises(HostError, match="cannot be reached"):
            await run
        await client.__aexit__()

    asyncio.run(main())


@with_site()
async def test_a_workflow_that_ends_the_server_each_time_is_not_sent_for_ever(site: Site) -> None:
    async with HostClient(site.url) as client:
        workflow = await client.load(EXAMPLE)
        sent = []

        async def lose(workflow: Any, prompt_id: str) -> None:
            sent.append(prompt_id)
            client._lost = True

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(client, "_submit", lose)
            patch.setattr("acestep_core.host.client.client.POLL_SECONDS", 0)
            with pytest.raises(HostError, match="lost 4 times"):
                await client.run(workflow, outside(site))
        assert len(sent) == 4


@with_site()
async def test_a_name_from_the_server_cannot_lead_out(site: Site) -> None:
    (site.folders.output / "evil.flac").write_bytes(b"x")
    async with HostClient(site.url) as client:
        target = outside(site)
        for name in ("../evil.flac", "/var/evil.flac", "a/../../evil.flac"):
            with pytest.raises(HostError):  # the host refuses; a worse one would find only the last part used
                await client.download([{"filename": name, "subfolder": "", "type": "output"}], target)
        assert not list(target.rglob("*")) and not (target.parent / "evil.flac").exists()


@with_site()
async def test_downloads_do_not_replace_other_files(site: Site) -> None:
    (site.folders.output / "a.flac").write_bytes(b"new")
    outside(site).mkdir()
    (outside(site) / "a.flac").write_bytes(b"old")
    async with HostClient(site.url) as client:
        item: dict[str, Any] = {"filename": "a.flac", "subfolder": "", "type": "output"}
        assert (await client.download([item], outside(site)))[0].name == "a (1).flac"
        assert (await client.download([item], outside(site)))[0].name == "a (1).flac"
    assert (outside(site) / "a.flac").read_bytes() == b"old"


@with_site()
async def test_the_files_of_a_song_keep_one_name(site: Site) -> None:
    """As a node declares them, in several lists; the second one's name is taken here."""
    (site.folders.output / "x").mkdir()
    items = [{"filename": f"a.{end}", "subfolder": "x", "type": "output"} for end in ("flac", "json", "lyrics.json")]
    for item in items:
        (site.folders.output / "x" / item["filename"]).write_text(item["filename"])
    (outside(site) / "x").mkdir(parents=True)
    (outside(site) / "x" / "a.json").write_text("other")
    async with HostClient(site.url) as client:
        paths = await client.download(items, outside(site))
        assert [path.name for path in paths] == ["a (1).flac", "a (1).json", "a (1).lyrics.json"]
        assert await client.download(items, outside(site)) == paths
        gone = {"filename": "gone.flac", "subfolder": "x", "type": "output"}
        with pytest.raises(HostError):
            await client.download([*items, gone], outside(site) / "new")
        assert not list((outside(site) / "new").iterdir())


@with_site()
async def test_folders_of_a_windows_server(site: Site) -> None:
    (site.folders.output / "a").mkdir()
    (site.folders.output / "a" / "b.flac").touch()
    async with HostClient(site.url) as client:
        real = client._request

        def request(method: str, path: str, params: dict[str, str]) -> Any:
            assert params["subfolder"] == "a\\con"  # the server is asked in its own words
            return real(method, path, params={**params, "subfolder": "a"})

        client._request = request  # type: ignore[method-assign, assignment]
        item = {"filename": "b.flac", "subfolder": "a\\con", "type": "output"}
        assert await client.download([item], outside(site)) == [outside(site) / "a" / "_con" / "b.flac"]


@with_site(policy=Policy("127.0.0.1", token="right"))
async def test_the_token(site: Site) -> None:
    async with HostClient(site.url) as client:
        with pytest.raises(HostError, match="--token"):
            await client.definitions()
    async with HostClient(site.url, "right") as client:
        result = await client.run(await client.load(EXAMPLE), outside(site))
        assert len(result.paths) == 1


def test_addresses_that_lead_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acestep_core.host.client.client._RETRIES", 1)

    async def ask(url: str) -> None:
        async with HostClient(url) as client:
            await client.definitions()

    with pytest.raises(HostError, match="cannot be reached"):
        asyncio.run(ask("127.0.0.1:1"))
    with pytest.raises(HostError, match="no address"):
        HostClient("ftp://x")


class Content:
    """What a server sends: two halves, and then perhaps an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.content = self
        self.error = error

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        yield b"half"
        os.fsync(0)  # a point to be killed at
        if self.error:
            raise self.error
        yield b"half"


def stubbed(answers: list[Content]) -> HostClient:
    """A client whose server gives these answers."""

    @contextlib.asynccontextmanager
    async def request(method: str, path: str, params: dict[str, str]) -> AsyncIterator[Any]:
        yield answers.pop(0)

    client = HostClient("127.0.0.1:1")
    client._request = request  # type: ignore[method-assign, assignment]
    return client


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (aiohttp.ClientPayloadError("cut"), HostError, "connection broke while a.json"),
        (OSError(errno.ENOSPC, "full"), StorageError, "is full"),
    ],
)
def test_a_download_that_breaks_off_leaves_nothing(
    error: Exception, expected: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    items = [{"filename": f"a.{end}"} for end in ("flac", "json")]
    with pytest.raises(expected, match=message):
        asyncio.run(stubbed([Content(), Content(error)]).download(items, tmp_path))
    assert not list(tmp_path.iterdir())


class Fetching:
    @staticmethod
    def prepare(folder: Path) -> None:
        (folder / "x").mkdir()
        (folder / "x" / "a.flac").write_text("mine")

    @staticmethod
    def write(folder: Path) -> None:
        items = [{"filename": f"a.{end}", "subfolder": "x"} for end in ("flac", "json")]
        paths = asyncio.run(stubbed([Content(), Content()]).download(items, folder))
        assert [path.name for path in paths] == ["a (1).flac", "a (1).json"]

    @staticmethod
    def killed(folder: Path) -> None:
        for path in (folder / "x").glob("a (1).*"):
            assert path.read_text() == "halfhalf"

    @staticmethod
    def restarted(folder: Path) -> None:
        Fetching.killed(folder)
        assert sorted(path.name for path in (folder / "x").iterdir()) == ["a (1).flac", "a (1).json", "a.flac"]
        assert (folder / "x" / "a.flac").read_text() == "mine" and not list(folder.rglob(".*"))


@needs_kills
def test_killed_before_every_operation_of_a_download(tmp_path: Path) -> None:
    assert sweep(__name__, "Fetching", tmp_path) > 20
