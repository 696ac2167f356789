"""Downloads from a server on this machine that speaks like the two hubs and can misbehave."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from acestep_core.checkpoints import download as module
from acestep_core.checkpoints.download import HuggingFace, ModelScope, download
from acestep_core.errors import Cancelled, CheckpointError, DownloadError
from acestep_core.monitor import Monitor
from tests.capabilities import needs_kills
from tests.crash_sweep import sweep

REPOSITORY = "ACE-Step/acestep-v15-base"
FOLDER = "acestep-v15-base"


@dataclass
class Hub:
    """What the server holds and how it behaves."""

    files: dict[str, bytes] = field(default_factory=dict)
    listed_hash: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    wrong_start: bool = False
    break_after: int | None = None
    breaks: int = 0
    status: dict[str, int] = field(default_factory=dict)
    redirect_to: str | None = None
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    endpoint: str = ""

    def digest(self, path: str) -> str:
        return self.listed_hash.get(path) or hashlib.sha256(self.files[path]).hexdigest()

    def listing(self, path: str) -> object:
        """Small text files have no checksum, as on the hubs."""
        large = {name: self.digest(name) for name in self.files if not name.endswith((".json", ".py"))}
        if path.startswith("/api/v1/"):
            files = [
                {"Path": name, "Size": len(data), "Type": "blob", "Sha256": large.get(name, "")}
                for name, data in self.files.items()
            ]
            return {"Code": 200, "Data": {"Files": [*files, {"Path": "folder", "Size": 0, "Type": "tree"}]}}
        siblings = [
            {"rfilename": name, "size": len(data)} | ({"lfs": {"sha256": large[name]}} if name in large else {})
            for name, data in self.files.items()
        ]
        return {"sha": "c0ffee", "siblings": siblings}


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        hub, path = self.hub, urlsplit(self.path).path
        hub.requests.append((path, self.headers.get("Range"), self.headers.get("Authorization")))
        if path.startswith("/api/"):
            if REPOSITORY not in path and "Ace-Step1.5" not in path:
                return self.send_error(404)
            return self.answer(200, json.dumps(hub.listing(path)).encode())
        name = path.partition("/resolve/")[2].partition("/")[2]
        if name in hub.status:
            return self.send_error(hub.status[name])
        if hub.redirect_to and not path.startswith("/cdn"):
            self.send_response(302)
            self.send_header("Location", f"{hub.redirect_to}/cdn{path}")
            return self.end_headers()
        data, start = hub.files[name], 0
        if hub.ranges and (wanted := self.headers.get("Range")):
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) - (1 if hub.wrong_start else 0)
        return self.answer(206 if start else 200, data, start)

    def answer(self, status: int, data: bytes, start: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) - start))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        body = data[start:]
        breaks = self.hub.breaks and not self.path.startswith("/api/")
        if breaks and self.hub.break_after is not None and len(body) > self.hub.break_after:
            self.hub.breaks -= 1
            body = body[: self.hub.break_after]
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    state = Hub(
        files={
            "model.safetensors": bytes(range(256)) * 400,
            "config.json": b'{"model_type": "acestep"}',
            "silence_latent.pt": b"silence" * 10,
            "modeling_acestep.py": b"print('remote code')",
        }
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("H", (Handler,), {"hub": state}))
    state.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 10_000)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")


def fetch(hub: Hub, dest: Path, name: str = "base", **options) -> list[Path]:
    return download(name, dest, HuggingFace(hub.endpoint), pause=0.0, **options)


@pytest.mark.parametrize("source", [HuggingFace, ModelScope])
def test_a_model_arrives_whole(hub: Hub, tmp_path: Path, source):
    (folder,) = download("base", tmp_path, source(hub.endpoint))
    assert folder == tmp_path / FOLDER
    assert {file.name for file in folder.iterdir()} == {
        "model.safetensors",
        "config.json",
        "silence_latent.pt",
        "hashes.json",
    }, "weights, configs and the checksums, but no code"
    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert json.loads((folder / "hashes.json").read_text()) == {
        name: hub.digest(name) for name in ("model.safetensors", "silence_latent.pt")
    }


def test_main_takes_four_folders_of_one_repository(hub: Hub, tmp_path: Path):
    one = hub.files
    hub.files = {
        f"{folder}/{name}": data
        for folder in ("acestep-v15-turbo", "vae", "Qwen3-Embedding-0.6B", "acestep-5Hz-lm-1.7B")
        for name, data in one.items()
    }
    folders = fetch(hub, tmp_path, "main")
    assert sorted(folder.name for folder in folders) == sorted({name.split("/")[0] for name in hub.files})
    assert all((folder / "model.safetensors").is_file() for folder in folders)
    assert sum(path.startswith("/api/") for path, *_ in hub.requests) == 1


def test_the_tokenizer_alone(hub: Hub, tmp_path: Path):
    hub.files = {f"Qwen3-Embedding-0.6B/{name}": b"{}" for name in ("tokenizer.json", "vocab.json")}
    hub.files["Qwen3-Embedding-0.6B/model.safetensors"] = b"weights"
    (folder,) = download("tokenizer", tmp_path, HuggingFace(hub.endpoint))
    assert folder == tmp_path / "tokenizer" and (folder / "tokenizer.json").read_bytes() == b"{}"
    assert not list(folder.glob("*.safetensors")) and not (folder / "vocab.json").exists()
    del hub.files["Qwen3-Embedding-0.6B/tokenizer.json"]
    with pytest.raises(DownloadError, match=r"has no tokenizer\.json for tokenizer"):
        download("tokenizer", tmp_path, HuggingFace(hub.endpoint))


def test_what_is_there_is_not_fetched_again(hub: Hub, tmp_path: Path):
    fetch(hub, tmp_path)
    hub.requests.clear()
    fetch(hub, tmp_path)
    assert [path for path, *_ in hub.requests if "resolve" in path] == []


def test_a_changed_file_is_fetched_again(hub: Hub, tmp_path: Path):
    fetch(hub, tmp_path)
    hub.files["model.safetensors"] = hub.files["model.safetensors"][::-1]
    fetch(hub, tmp_path)
    assert (tmp_path / FOLDER / "model.safetensors").read_bytes() == hub.files["model.safetensors"]


def test_a_cancelled_download_is_resumed(hub: Hub, tmp_path: Path):
    target = tmp_path / FOLDER / "model.safetensors"
    part = target.with_name("model.safetensors.part")
    size = len(hub.files[target.name])

    def stop(stage: str, done: int, total: int, preview: object) -> None:
        if done > size // 2:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        fetch(hub, tmp_path, monitor=Monitor(stop))
    assert not target.exists()
    have = part.stat().st_size
    assert 0 < have < size

    hub.requests.clear()
    fetch(hub, tmp_path)
    assert target.read_bytes() == hub.files[target.name]
    assert not part.exists()
    (wanted,) = [wanted for path, wanted, _ in hub.requests if path.endswith(target.name)]
    assert wanted == f"bytes={have}-"


def test_progress_counts_bytes(hub: Hub, tmp_path: Path):
    seen: list[tuple[str, int, int]] = []
    fetch(hub, tmp_path, monitor=Monitor(lambda stage, done, total, preview: seen.append((stage, done, total))))
    size = len(hub.files["model.safetensors"])
    counts = [done for stage, done, total in seen if stage == "downloading model.safetensors" and total == size]
    assert counts == sorted(counts)
    assert counts[-1] == size
    assert len(counts) > 5


def test_a_broken_connection_is_retried_from_where_it_broke(hub: Hub, tmp_path: Path):
    hub.break_after, hub.breaks = 30_000, 3
    fetch(hub, tmp_path)
    assert (tmp_path / FOLDER / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    starts = [wanted for path, wanted, _ in hub.requests if path.endswith("model.safetensors")]
    assert len(starts) == 4
    assert starts[0] is None
    assert all(starts[1:])


def test_a_connection_that_keeps_breaking_is_reported(hub: Hub, tmp_path: Path):
    hub.break_after, hub.breaks = 100, 1000
    with pytest.raises(DownloadError, match="run the command again to resume"):
        fetch(hub, tmp_path)
    assert not (tmp_path / FOLDER / "model.safetensors").exists()


@pytest.mark.parametrize("behaviour", ["ranges", "wrong_start"])
def test_servers_that_cannot_resume(hub: Hub, tmp_path: Path, behaviour: str):
    setattr(hub, behaviour, not getattr(hub, behaviour))
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "model.safetensors.part").write_bytes(hub.files["model.safetensors"][:1000])
    fetch(hub, tmp_path)
    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]


@pytest.mark.parametrize("leftover", [b"", b"x" * 200_000])
def test_useless_leftovers_do_no_harm(hub: Hub, tmp_path: Path, leftover: bytes):
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "model.safetensors.part").write_bytes(leftover)
    fetch(hub, tmp_path)
    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]


def test_a_complete_leftover_is_not_fetched(hub: Hub, tmp_path: Path):
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "model.safetensors.part").write_bytes(hub.files["model.safetensors"])
    fetch(hub, tmp_path)
    assert not any(path.endswith("model.safetensors") for path, *_ in hub.requests)


def test_a_wrong_checksum_is_refused(hub: Hub, tmp_path: Path):
    hub.listed_hash["model.safetensors"] = "0" * 64
    with pytest.raises(DownloadError, match=r"model\.safetensors arrived damaged"):
        fetch(hub, tmp_path)
    assert list((tmp_path / FOLDER).glob("model*")) == []


def test_a_damaged_leftover_is_refused_and_the_next_try_works(hub: Hub, tmp_path: Path):
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "model.safetensors.part").write_bytes(b"x" * 1000)
    with pytest.raises(DownloadError, match="arrived damaged"):
        fetch(hub, tmp_path)
    fetch(hub, tmp_path)
    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]


def test_unknown_names_and_repositories(hub: Hub, tmp_path: Path):
    with pytest.raises(CheckpointError, match="no published model called 'gpt'"):
        fetch(hub, tmp_path, "gpt")
    with pytest.raises(DownloadError, match=r"acestep-v15-sft does not exist at this source \(404\)"):
        fetch(hub, tmp_path, "sft")
    with pytest.raises(DownloadError, match="no source called 'ftp'"):
        download("base", tmp_path, "ftp")
    with pytest.raises(DownloadError, match="no weights for vae"):
        fetch(hub, tmp_path, "vae")


@pytest.mark.parametrize(
    ("status", "message"),
    [(404, "does not exist"), (401, "log in with"), (403, "was refused"), (503, "answered 503")],
)
def test_refused_files_are_reported(hub: Hub, tmp_path: Path, status: int, message: str):
    hub.status["model.safetensors"] = status
    with pytest.raises(DownloadError, match=message):
        fetch(hub, tmp_path)
    asked = [path for path, *_ in hub.requests if path.endswith("model.safetensors")]
    assert len(asked) == (module.ATTEMPTS if status >= 500 else 1)
    assert not (tmp_path / FOLDER / "config.json").exists(), "a config never appears before its weights"


def test_an_unreachable_server_is_reported(tmp_path: Path):
    with pytest.raises(DownloadError, match="cannot be reached"):
        download("base", tmp_path, HuggingFace("http://127.0.0.1:9"))


def test_nonsense_instead_of_a_listing_is_reported(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(json, "loads", lambda text: (_ for _ in ()).throw(ValueError("no JSON")))
    with pytest.raises(DownloadError, match="not readable"):
        fetch(hub, tmp_path)


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil.json", "a\\..\\evil.json", "c:evil.json"])
def test_files_outside_the_folder_are_refused(hub: Hub, tmp_path: Path, name: str):
    hub.files[name] = b"{}"
    with pytest.raises(DownloadError, match="unsafe file name"):
        fetch(hub, tmp_path / "models")
    assert list(tmp_path.rglob("evil*")) == []


def test_a_full_disk_is_noticed_before_it_is_full(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DownloadError, match="free some space"):
        fetch(hub, tmp_path)
    assert not any("resolve" in path for path, *_ in hub.requests)


def test_the_token_stays_with_its_host(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.redirect_to = hub.endpoint.replace("127.0.0.1", "localhost")
    fetch(hub, tmp_path)
    seen = {path.startswith("/cdn"): token for path, _, token in hub.requests}
    assert seen == {False: "Bearer hf_secret", True: None}


def test_another_transport_can_be_given(hub: Hub, tmp_path: Path):
    asked: list[str] = []

    def transport(url, headers):
        asked.append(url)
        return module.http_transport(url, headers)

    fetch(hub, tmp_path, transport=transport)
    assert len(asked) == len(hub.requests)


def test_two_downloads_at_once(hub: Hub, tmp_path: Path):
    """The second waits for the first, and then has nothing to do."""
    stages: list[str] = []

    def meet(stage: str, done: int, total: int, preview: object = None) -> None:
        if not stages and stage.startswith("downloading model"):
            other = threading.Thread(target=fetch, args=(hub, tmp_path), kwargs={"monitor": Monitor(waiting)})
            threads.append(other)
            stages.append(stage)
            other.start()
            assert waits.wait(20)

    def waiting(stage: str, done: int, total: int, preview: object = None) -> None:
        stages.append(stage)
        if stage.startswith("waiting"):
            waits.set()

    threads: list[threading.Thread] = []
    waits = threading.Event()
    (folder,) = fetch(hub, tmp_path, monitor=Monitor(meet))
    threads[0].join()
    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert not any(stage.startswith("downloading") for stage in stages[1:])
    assert not list(folder.glob(".*")) and not list(folder.glob("*.part"))


def test_what_lies_on_the_disk_is_checked_not_what_arrived(hub: Hub, tmp_path: Path):
    def meddle(stage: str, done: int, total: int, preview: object = None) -> None:
        if stage.startswith("downloading model") and done == total:
            part = tmp_path / FOLDER / "model.safetensors.part"
            part.write_bytes(b"x" + part.read_bytes()[1:])

    with pytest.raises(DownloadError, match="damaged"):
        fetch(hub, tmp_path, monitor=Monitor(meddle))
    assert not (tmp_path / FOLDER / "model.safetensors").exists()


class Fetching:
    FILES = {"model.safetensors": bytes(range(256)) * 100, "config.json": b"{}"}

    @staticmethod
    def prepare(folder: Path) -> None:
        """Nothing is there."""

    @staticmethod
    def write(folder: Path) -> None:
        class Answer(io.BytesIO):
            status = 200
            headers = {}

            def read(self, amount=-1, /):
                os.fsync(0)  # a point to be killed at
                return super().read(amount)

        class Here:
            def files(self, repository, transport):
                return [
                    module.RemoteFile(name, len(data), hashlib.sha256(data).hexdigest(), name)
                    for name, data in Fetching.FILES.items()
                ]

        download("base", folder, Here(), transport=lambda url, headers: Answer(Fetching.FILES[url]), pause=0.0)

    @staticmethod
    def killed(folder: Path) -> None:
        for name, data in Fetching.FILES.items():
            path = folder / FOLDER / name
            assert not path.exists() or path.read_bytes() == data

    @staticmethod
    def restarted(folder: Path) -> None:
        Fetching.killed(folder)
        names = {path.name for path in (folder / FOLDER).iterdir() if not path.name.endswith(".tmp")}
        assert names == {*Fetching.FILES, "hashes.json"}
        assert set(json.loads((folder / FOLDER / "hashes.json").read_text())) <= Fetching.FILES.keys()


@needs_kills
def test_killed_before_every_operation(tmp_path: Path):
    assert sweep(__name__, "Fetching", tmp_path) > 15
