"""Which local files a workflow may name: what a stranger writes into one is not sent anywhere by surprise."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from acestep_core.errors import GraphError
from acestep_core.host.client.sources import Sources
from acestep_core.host.graph.workflow import Workflow
from tests.capabilities import link
from tests.host.test_server import wav

DEFINITIONS = {"Load": {"input": {"required": {"audio": ["COMBO", {"audio_upload": True}]}}}}


def naming(value: str) -> Workflow:
    return Workflow({"1": {"class_type": "Load", "inputs": {"audio": value}}}, DEFINITIONS)


@pytest.fixture
def places(tmp_path: Path) -> Path:
    for name in ("own", "work", "private"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.wav").write_bytes(wav(0.1))
    (tmp_path / "work" / "id_rsa").write_text("secret")
    link(tmp_path / "work" / "link.wav", tmp_path / "private" / "private.wav")
    return tmp_path


def found(places: Path, value: str, *allowed: Path) -> list[Path]:
    sources = Sources([places / "work", places / "own"], allowed)
    return [path for _, _, path in sources.of(naming(value))]


def test_recordings_in_the_folders(places: Path) -> None:
    assert found(places, "work.wav") == [places / "work" / "work.wav"]
    assert found(places, "own.wav") == [places / "own" / "own.wav"]
    for spelled in ("{}", "{} ", '"{}"', "file://{}"):
        assert found(places, spelled.format(places / "own" / "own.wav")) == [places / "own" / "own.wav"]
    for value in ("on-the-server.wav", "work.wav [output]", "link.wav", ""):  # a link does not lead out
        assert found(places, value) == []


@pytest.mark.parametrize(
    "value",
    [
        "{}/private/private.wav",
        "../private/private.wav",
        "~/.ssh/id_rsa",
        "//evil/share/a.wav",
        '"{}/private/private.wav"',
        "file://{}/private/private.wav",
        "{}/private/private.wav\n",
    ],
)
def test_files_elsewhere_are_refused(value: str, places: Path) -> None:
    with pytest.raises(GraphError, match="--allow-file"):
        found(places, value.format(places))


def test_what_is_no_recording_is_refused(places: Path) -> None:
    with pytest.raises(GraphError, match="no recording"):
        found(places, "id_rsa")
    with pytest.raises(GraphError, match="no recording"):
        Sources([places / "work"]).check(naming("id_rsa"))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program to make the file")
def test_recordings_in_containers_of_telephones(places: Path) -> None:
    target = places / "work" / "memo.m4a"
    subprocess.run(["ffmpeg", "-v", "error", "-i", places / "own" / "own.wav", "-c:a", "aac", target], check=True)
    assert found(places, "memo.m4a") == [target]


def test_what_the_user_allows(places: Path) -> None:
    private, secret = places / "private" / "private.wav", places / "work" / "id_rsa"
    assert found(places, str(private), private) == [private]
    assert found(places, str(private), private.parent) == [private]
    assert found(places, str(secret), secret) == [secret]
    with pytest.raises(GraphError, match="no recording"):
        found(places, str(secret), secret.parent)
    assert found(places, str(places / "gone.wav"), places / "gone.wav") == []
