"""What the documents point at is there, and what they tell to type works."""

from __future__ import annotations

import argparse
import json
import re
import runpy
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch

from acestep_core.checkpoints.catalog import VARIANTS
from acestep_core.commands.main import build, main
from acestep_core.render import vae
from tests.capabilities import link
from tests.host.migrate.native_graphs import TEMPLATES

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("docs/ARCHITECTURE.md", "CONTRIBUTING.md")
PLACE = re.compile(r"`([\w./]+\.(?:py|json|md|txt))(?:: (\w+))?`")
"""`folder/file.py`, or `folder/file.py: name` for something in it."""


def places() -> list[tuple[str, str]]:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS]
    return sorted({(path, name) for text in texts for path, name in PLACE.findall(text)})


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, name in places() if "/" in path])
def test_what_is_named_exists(path: str, name: str) -> None:
    """Paths are those of the repository or, for short, of the library."""
    file = next((file for file in (ROOT / path, ROOT / "acestep_core" / path) if file.exists()), None)
    assert file is not None
    assert re.search(rf"^\s*(def|class) {name}\b" if name else "", file.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_notice_names_files_that_exist() -> None:
    text = (ROOT / "NOTICE").read_text(encoding="utf-8")
    named = re.findall(r"^  ((?:acestep_core|tests)/\S+\.py)", text, re.MULTILINE)
    assert len(named) > 5 and all((ROOT / path).is_file() for path in named)


def test_readme_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert set(DOCUMENTS) <= set(links) and all((ROOT / link).is_file() for link in links)


def test_every_room_is_in_the_table() -> None:
    table = [line for line in (ROOT / DOCUMENTS[0]).read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    named = " ".join(line.split("|")[1] for line in table)
    rooms = [path.parent.name for path in (ROOT / "acestep_core").glob("*/__init__.py")]
    assert rooms and not [room for room in rooms if not re.search(rf"`{room}\b", named)]


BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RATE = 48000


def blocks(document: str, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall((ROOT / document).read_text(encoding="utf-8")) if kind == language]


def typed() -> list[list[str]]:
    """The words of every `acestep` line that README shows."""
    lines = [line for text in blocks("README.md", "") for line in text.splitlines() if line.startswith("acestep ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.fixture
def studio(tiny_root, tmp_path, monkeypatch):
    """A working folder with what the examples name. The tiny models take one step, and the VAE makes noise, which is
    what would take long.
    """

    def decode(module, latents, tile=None, monitor=None):
        with torch.inference_mode(False):
            return (
                torch.rand(len(latents), 2, latents.shape[1] * 1920, generator=torch.Generator().manual_seed(1)) - 0.5
            )

    monkeypatch.setattr(vae, "decode", decode)
    for name, variant in VARIANTS.items():
        monkeypatch.setitem(VARIANTS, name, replace(variant, preset=replace(variant.preset, steps=2)))
    monkeypatch.setenv("ACESTEP_CHECKPOINTS", str(tiny_root))
    folder = tmp_path / "Jürgen's Musik, 노래 (1) & %x%"  # as folders of users are called
    folder.mkdir()
    monkeypatch.chdir(folder)
    noise = 0.1 * torch.randn(RATE * 21, 2, generator=torch.Generator().manual_seed(0)).numpy()
    soundfile.write("demo.wav", noise, RATE)
    soundfile.write("voice.wav", noise[: RATE * 4], RATE)
    Path("words.txt").write_text("[Verse]\nla la\n", encoding="utf-8")
    Path("native_workflow.json").write_text(json.dumps(TEMPLATES["split"]), encoding="utf-8")
    Path("songs.csv").write_text("song.caption,sampler.seed\nlo-fi,1\npop,2\n", encoding="utf-8")
    return folder


def test_readme_python_runs(studio, tmp_path):
    for block in blocks("README.md", "python"):
        (tmp_path / "block.py").write_text(block, encoding="utf-8")
        runpy.run_path(str(tmp_path / "block.py"))
    assert sorted(path.name for path in (studio / "output").glob("*.flac")) == [
        "dream_00001.flac", "dream_00002.flac", "voices.flac",
    ]  # fmt: skip


def test_the_library_page_runs(studio, tmp_path, monkeypatch):
    """As one script, from top to bottom; only the adapter is not there."""
    from functools import partial

    from acestep_core.pipeline import asking

    for name in ("create_song", "format_song", "understand_codes"):
        monkeypatch.setattr(asking, name, partial(getattr(asking, name), lyrics_tokens=8, caption_tokens=8))
    (tmp_path / "page.py").write_text("\n".join(blocks("docs/library.md", "python")), encoding="utf-8")
    names = runpy.run_path(str(tmp_path / "page.py"))
    assert torch.equal(names["again"].audio, names["result"].audio)
    assert names["solo"].duration == 20 and names["calmer"].duration == 30


def test_every_command_of_the_readme_is_understood():
    parser, _ = build()
    for words in typed():
        parser.parse_args(words)
    assert {words[0] for words in typed()} >= {"song", "run", "queue", "models", "workflows"}


WINDOWS = re.compile(r"\S*\\\w|cd \w+\\|rem ")


def test_what_windows_types_exists():
    """The lines of an environment's and of the portable build's Python, which has no `acestep` on its path."""
    lines = [line for text in blocks("README.md", "") for line in text.splitlines() if WINDOWS.match(line)]
    portable = [line.split() for line in lines if line.startswith("..\\..\\python_embeded\\python.exe -s ")]
    installs, runs = portable
    for place in (installs[-1], runs[2]):
        pack, _, path = place.replace("\\", "/").partition("/")
        assert pack == "acestep-nodes" and (ROOT / path).exists(), place
    assert (ROOT / "acestep_core/commands/__main__.py").is_file()
    own = [shlex.split(line.replace("\\", "/")) for line in lines if line.startswith(".venv\\Scripts\\acestep ")]
    parser, _ = build()
    for words in (runs[3:], *(line[1:] for line in own)):
        parser.parse_args(words)
    assert own and len(lines) == 4 + len(portable) + len(own)  # what else is a line of Windows is looked at here


def examples_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The lines that the help of a command and of those below it shows."""
    yield from (line.strip() for line in (parser.epilog or "").splitlines() if line.strip().startswith("acestep "))
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in dict.fromkeys(action.choices.values()):
                yield from examples_of(below)


def test_what_is_typed_is_the_same_words_in_cmd_powershell_and_other_shells():
    """cmd knows double quotes only, and each shell has signs of its own; `completion` is for one that is named."""
    readme = [line for text in blocks("README.md", "") for line in text.splitlines() if line.startswith("acestep ")]
    lines = [line.partition(" #")[0].rstrip() for line in (*readme, *examples_of(build()[0]))]
    assert len(lines) > 50
    for line in lines:
        if not line.startswith("acestep completion"):
            words = [word.replace('"', "") for word in re.findall(r'(?:[^ "]|"[^"]*")+', line)]
            assert words == shlex.split(line) and not re.search(r"[$`%!\\]", line), line
            assert not re.search(r"[;&|<>^(){},@]", re.sub(r'"[^"]*"', "", line)), line


def test_songs_and_workflows_of_the_readme_run(studio, tiny_root, capsys):
    """From top to bottom, as they stand there; servers and downloads are tested elsewhere."""
    link(studio / "PATH", tiny_root)
    main(["song", "x", "--duration", "10", "-o", "output/song.flac"])
    for words in typed():
        if words[0] in ("song", "run", "workflows"):
            assert main(words) == 0, (words, capsys.readouterr().err)
    assert len(list((studio / "output").rglob("*.flac"))) >= 9
