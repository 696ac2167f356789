"""Fixtures that all tests share, which tests are slow, and options that show whether a test depends on another.

`slow.txt` names the folders, files and functions that take long; their tests carry the marker `slow`.
`--note-slow SECONDS` adds what took longer in this run, in processor time, so that a busy machine counts like an idle
one.

One thread, unless OMP_NUM_THREADS says otherwise: the networks here are too small for more, which cost minutes on a
busy machine. The variable, and not `torch.set_num_threads`, because that one does not reach other threads.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch

from tests.pretended_files import KINDS
from tests.pretended_mps import POLICIES, pretended_everywhere

settings.register_profile("patient", deadline=None)  # a busy machine is no fault
settings.load_profile("patient")
SLOW = Path(__file__).with_name("slow.txt")
ELSEWHERE = ("tests/canvas/", "tests/comfyui/")
_seconds: defaultdict[str, float] = defaultdict(float)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--note-slow", type=float, metavar="SECONDS", help="add functions that take longer to slow.txt")
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run files, and the tests in each, in random order")
    parser.addoption("--files", choices=sorted(KINDS), help="pretend another system's files, see pretended_files.py")
    parser.addoption("--device", choices=sorted(POLICIES), help="pretend another device, see pretended_mps.py")
    parser.addoption("--card", metavar="DEVICE", help="which card tests/gpu ask: auto, or its name; cpu plays one")
    parser.addoption("--rounds", type=int, default=1, metavar="N", help="run all tests N times in one process")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    slow = set(SLOW.read_text(encoding="utf-8").split())
    rooms = tuple(name if name.endswith("/") else f"{name}::" for name in slow if "::" not in name)
    for item in items:
        if item.nodeid.startswith(rooms) or item.nodeid.partition("[")[0] in slow:
            item.add_marker("slow")
        if config.getoption("device") and item.nodeid.startswith(ELSEWHERE):
            item.add_marker(pytest.mark.skip(reason="browsers and ComfyUI do not know what this process pretends"))
    seed = config.getoption("shuffle")
    if seed is not None:
        rng = random.Random(seed)
        files = [list(tests) for _, tests in groupby(items, key=lambda item: item.path)]
        items[:] = [test for tests in rng.sample(files, len(files)) for test in rng.sample(tests, len(tests))]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A round is a parameter of the session, so that one is over before the next begins."""
    rounds = metafunc.config.getoption("rounds")
    if rounds > 1:
        metafunc.fixturenames.append("number_of_round")
        metafunc.parametrize("number_of_round", range(rounds), indirect=True, scope="session")


@pytest.fixture(scope="session")
def number_of_round(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    before = os.times()
    try:
        return (yield)
    finally:
        spent = sum(os.times()[:4]) - sum(before[:4])  # of this process and of those it started
        _seconds[item.nodeid.partition("[")[0]] += spent


def pytest_sessionfinish(session: pytest.Session) -> None:
    limit = session.config.getoption("note_slow")
    if limit is not None:
        found = {name for name, seconds in _seconds.items() if seconds > limit}
        SLOW.write_text(
            "\n".join(sorted(found | set(SLOW.read_text(encoding="utf-8").split()))) + "\n", encoding="utf-8"
        )


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A freshly built tiny checkpoints folder in upstream's layout."""
    from acestep_core.builtin.tiny import build_tiny

    root = tmp_path_factory.mktemp("tiny") / "checkpoints"
    build_tiny(root)
    return root


@pytest.fixture(scope="session")
def tiny_models(tiny_root: Path):
    """Handles of the tiny turbo checkpoint with its VAE and language model."""
    from acestep_core.pipeline.opening import open_models

    return open_models(tiny_root, "turbo")


@pytest.fixture(scope="session")
def tiny_base(tiny_root: Path):
    """Handles of the tiny base checkpoint."""
    from acestep_core.pipeline.opening import open_models

    return open_models(tiny_root, "base")


@pytest.fixture(scope="session")
def all_layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Turbo and XL turbo as upstream, diffusers and ComfyUI hold them. Tests must not write into it."""
    from acestep_core.builtin.tiny import build_tiny

    root = tmp_path_factory.mktemp("layouts") / "checkpoints"
    return build_tiny(root, variants=("turbo", "xl-turbo"), layouts=("diffusers", "comfyui"))


@pytest.fixture(scope="session")
def gguf_root(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    """The tiny turbo and XL turbo with their parts as acestep.cpp has them, in Q8_0. Tests must not write into it."""
    from tests.gguf_files import as_acestep_cpp

    root = tmp_path_factory.mktemp("gguf")
    for folder in ("acestep-v15-turbo", "acestep-v15-xl-turbo"):
        as_acestep_cpp(tiny_root, root, folder)
    return root


@pytest.fixture
def install(tiny_root: Path, all_layouts: Path) -> Callable[..., Path]:
    """Puts models into a folder as if they were real: copies of the tiny ones, without the mark of these.

    Names are upstream's folders, or paths below ComfyUI's `models`; `=` after one says under which other name.
    """

    def source(name: str) -> Path:
        if name.startswith("acestep-5Hz-lm"):
            return tiny_root / "acestep-5Hz-lm-0.6B"
        return tiny_root / name if (tiny_root / name).is_dir() else all_layouts / "comfyui" / name

    def put(root: Path, *names: str) -> Path:
        for name in names:
            name, _, other = name.partition("=")
            target = root / (other or name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source(name).is_dir():
                shutil.copytree(source(name), target, copy_function=os.link)
            else:
                os.link(source(name), target)
        return root

    return put


@pytest.fixture(autouse=True)
def _other_files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = request.config.getoption("--files")
    if kind:
        root = request.getfixturevalue("tmp_path_factory").getbasetemp()
        KINDS[kind](monkeypatch, root)


@pytest.fixture(autouse=True)
def _other_device(request: pytest.FixtureRequest) -> Iterator[None]:
    policy = request.config.getoption("--device")
    own = request.node.get_closest_marker("processor") is not None
    with pretended_everywhere(POLICIES[policy]) if policy and not own else nullcontext():
        yield
