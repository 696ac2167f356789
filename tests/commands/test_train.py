"""`acestep train` from a trainset to a file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from acestep_core.commands import train as command
from acestep_core.commands.main import main
from acestep_core.pipeline.progress import ProgressBar
from acestep_core.train.checkpoints import HEAR, STOP, RunFolder
from tests.train.making_trainsets import write_trainset


@pytest.fixture
def trainset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_trainset(tmp_path / "waves", (150, 150))
    return tmp_path / "waves"


def test_the_whole_way(trainset: Path, tiny_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.toml").write_text(
        'name = "mine"\nvariant = "base"\n[adapter]\nrank = 4\nkind = "lora"\n[training]\nepochs = 9\nlog_every = 1\n'
        '[test_song]\nevery = 2\ncaption = "wavy piano"\nseconds = 10\n'
    )
    base = ["train", str(trainset), "--models", str(tiny_root), "--settings", "run.toml", "--epochs", "2"]
    assert main([*base, "--estimate"]) == 0
    assert "4 steps of about" in capsys.readouterr().out and not Path("output").exists()
    assert main(base) == 0
    out, err = capsys.readouterr()
    assert "Beginning: 4 steps, 2 epochs. About" in err and "Epoch 2/2, step 4, loss" in err and "4 of 4 steps" in out
    run = RunFolder(Path("output/acestep/runs/mine"))
    assert run.settings()["settings"]["rank"] == 4 and (run.folder / "samples" / "00000004.flac").is_file()
    assert main(["train", "status", "mine"]) == 0
    assert "Checkpoints: 4" in capsys.readouterr().out
    assert main(["train", "export", "mine"]) == 0 and Path("mine.safetensors").is_file()
    assert main(["export", "mine", "-o", "same.safetensors"]) == 0
    assert Path("same.safetensors").read_bytes() == Path("mine.safetensors").read_bytes()
    assert main(["train", "export", "mine", "--format", "kohya", "-o", "k.safetensors", "--checkpoint", "4"]) == 0
    assert main(["train", "export", "mine", "--format", "merged", "-o", "merged"]) == 0
    assert Path("merged/model.safetensors").is_file()
    assert main([*base, "--resume", "4", "--epochs", "3", "--test-every", "0"]) == 0
    assert RunFolder(Path("output/acestep/runs/mine_00001")).about()["trained"]["steps"] == 6
    assert main([*base, "--resume", "3"]) == 1
    assert "no checkpoint '3'" in capsys.readouterr().err
    assert main([*base, "--resume", "new", "--test-every", "0"]) == 0
    assert RunFolder(Path("output/acestep/runs/mine_00002")).finished


def test_ctrl_c_saves_says_where_it_is_and_the_next_day_goes_on(
    trainset: Path, tiny_root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(ProgressBar):
        def __call__(self, stage: str, done: int, total: int, preview: object = None) -> None:
            if done == 2:
                raise KeyboardInterrupt

    base = ["train", str(trainset), "--models", str(tiny_root), "--variant", "base", "--rank", "4", "--epochs", "2"]
    base += ["--name", "mine"]
    where = "Stopped at step 2 of 4; run it again to go on from there."
    with monkeypatch.context() as patched:
        patched.setattr(command, "ProgressBar", Interrupted)
        assert main(base) == 130
        assert capsys.readouterr().err.endswith(f"Cancelled. {where}\n")
    assert main(["train", "status", "mine"]) == 0 and where in capsys.readouterr().out
    RunFolder(Path("output/acestep/runs/mine")).append({"kind": "warning", "text": "It goes on."})
    assert main(["train", "status", "mine"]) == 0 and where not in capsys.readouterr().out
    assert main(["export", "mine"]) == 1 and "such as latest" in capsys.readouterr().err
    assert main(["export", "mine", "--checkpoint", "latest"]) == 0 and Path("mine.safetensors").is_file()
    assert main(base) == 0 and "Going on at step 2: 4 steps" in capsys.readouterr().err


def test_merging_into_another_checkpoint_is_said(
    trainset: Path, tiny_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--variant", "base", "--rank", "4", "--max-steps", "1", "--name", "mine"]
    main(["train", str(trainset), "--models", str(tiny_root), *flags])
    Path("moved").mkdir()
    for variant in ("base", "turbo"):
        shutil.copytree(tiny_root / f"acestep-v15-{variant}", Path("moved") / f"acestep-v15-{variant}")
    merge = ["export", "mine", "--format", "merged"]
    assert main([*merge, "-o", "one"]) == 0 and main([*merge, "-o", "two", "--models", "moved"]) == 0
    assert "other weights" not in capsys.readouterr().err
    assert Path("one/model.safetensors").read_bytes() == Path("two/model.safetensors").read_bytes()
    assert main([*merge, "-o", "three", "--models", "moved", "--variant", "turbo"]) == 0
    assert "acestep-v15-turbo has other weights than the base model that was trained." in capsys.readouterr().err
    assert main([*merge, "-o", "four", "--models", "moved", "--variant", "sft"]) == 1 and not Path("four").exists()


def test_a_file_of_settings_says_all_of_it(trainset: Path, tiny_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'variant = "base"\n[adapter]\nrank = 4\n[training]\nepochs = 1\n'
    Path("run.toml").write_text(f'trainset = "{trainset.name}"\n{text}')
    Path("bare.toml").write_text(text)
    models = ["--models", str(tiny_root)]
    for words in (["run.toml"], ["--settings", "run.toml", "--name", "other"]):
        assert main(["train", *words, *models]) == 0
    for name in (trainset.name, "other"):  # the trainset's name where there is none
        assert RunFolder(Path("output/acestep/runs") / name).about()["rank"] == 4
    for words in ([], ["bare.toml"], ["--settings", "bare.toml"]):
        assert main(["train", *words, *models]) == 1
        assert "Say what to learn from" in capsys.readouterr().err


def test_wishes_are_for_runs_that_go_on(trainset: Path, tiny_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--models", str(tiny_root), "--variant", "base", "--rank", "4", "--max-steps", "1", "--name", "mine"]
    main(["train", str(trainset), *flags])
    run = RunFolder(Path("output/acestep/runs/mine"))
    for what in ("hear", "stop"):
        assert main(["train", what, "mine"]) == 1
        assert "not training now; it ended at step 1." in capsys.readouterr().err
    assert main(["train", str(trainset), *flags]) == 0 and "finished before" in capsys.readouterr().out
    run.append({"kind": "step", "step": 2})
    assert main(["train", "hear", "mine"]) == 0 and run.asked(HEAR)
    assert main(["train", "stop", "mine"]) == 0 and run.asked(STOP)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["status"], "Say which run"),
        (["status", "none"], "no run called 'none'"),
        (["nowhere", "--rank", "4"], "no trainset in"),
        (["waves", "--test-every", "3"], "Test songs need a song"),
        (["waves", "--settings", "bad.toml"], "not valid TOML"),
        (["waves", "--settings", "odd.toml"], "no training setting 'ranks'"),
    ],
)
def test_refusals(arguments, message, trainset, tiny_root, capsys):
    Path("bad.toml").write_text("[adapter\n")
    Path("odd.toml").write_text("[adapter]\nranks = 3\n")
    models = [] if arguments[0] == "status" else ["--models", str(tiny_root), "--variant", "base"]
    assert main(["train", *arguments, *models]) == 1
    assert message in capsys.readouterr().err
