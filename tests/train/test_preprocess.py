"""From a dataset to a trainset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from acestep_core.errors import DatasetError
from acestep_core.models.handles import Models
from acestep_core.pipeline.opening import open_models
from acestep_core.render.conditioning import condition, prompts_of
from acestep_core.render.tasks import text2music
from acestep_core.train.dataset import Dataset, Sample, TimedText
from acestep_core.train.dataset_options import Preprocessing, Scanning
from acestep_core.train.latents import LatentStore
from acestep_core.train.preprocess import orphaned, preprocess, report_of
from acestep_core.train.scan import scan
from acestep_core.train.trainset import Trainset
from tests.train.recordings import write_tone


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    for number, seconds in enumerate((3.0, 6.5, 12.0)):
        write_tone(folder / f"{number}.wav", seconds, 110 * (number + 1))
        (folder / f"{number}.caption.txt").write_text(f"a plucked tone, number {number}")
    (folder / "2.lyrics.txt").write_text("[Verse]\nla la la\n[Chorus]\nlo lo lo")
    (folder / "1.json").write_text('{"genre": "drone, ambient", "bpm": 120, "keyscale": "8A", "timesignature": "4/4"}')
    return folder


@pytest.fixture(scope="module")
def dataset(songs: Path) -> Dataset:
    return scan(songs, Scanning(custom_tag="my_style"))


def opened(tiny_root: Path, variant: str = "turbo") -> Models:
    return open_models(tiny_root, variant, device="cpu")


@pytest.mark.parametrize("variant", ["turbo", "base", "xl-turbo"])
def test_a_step_reads_what_inference_reads(tiny_root: Path, tmp_path: Path, dataset: Dataset, variant: str) -> None:
    """Bit for bit: condition and context of a training step, and of a song made from the same words."""
    models = opened(tiny_root, variant)
    trainset = preprocess(dataset, models.model, models.vae, tmp_path, Preprocessing(window_seconds=5.2))
    assert len(trainset) == 3
    for index, sample in enumerate(dataset.samples):
        whole = trainset.sample(index)
        for part, seconds in ((whole, whole.frames / 25), (trainset.sample(index, 0), min(5.2, whole.frames / 25))):
            for genre in (False, True) if sample.genre else (False,):
                words = sample.genre if genre else sample.caption
                song = replace(sample.song(caption=f"my_style, {words}"))
                wanted = condition(models.model, [song], [text2music(seconds)])
                assert torch.equal(part.conditions.states(genre=genre), wanted.main.states[0])
                assert torch.equal(part.context, wanted.main.context[0])
        plain = condition(models.model, [sample.song()], [text2music(whole.frames / 25)])
        assert torch.equal(whole.conditions.states(tagged=False), plain.main.states[0])


def test_timed_lyrics_go_into_their_windows(tiny_root: Path, tmp_path: Path, dataset: Dataset) -> None:
    models = opened(tiny_root)
    timing = (TimedText(0.5, 3.0, "la la la"), TimedText(9.0, 11.0, "lo lo lo"))
    timed = dataset.with_samples([replace(dataset.samples[2], timing=timing)])
    trainset = preprocess(timed, models.model, models.vae, tmp_path, Preprocessing(window_seconds=5.2, length="window"))
    first, last = trainset.sample(2, 0), trainset.sample(2, trainset.windows(2) - 1)
    for part, words in ((first, "la la la"), (last, "lo lo lo")):
        song = timed.samples[2].song(caption=f"my_style, {timed.samples[2].caption}", lyrics=words)
        wanted = condition(models.model, [song], [text2music(5.2)])
        assert torch.equal(part.conditions.states(), wanted.main.states[0])


def test_latents_are_the_posterior_that_inference_encodes(tiny_root: Path, tmp_path: Path, dataset: Dataset) -> None:
    from acestep_core.io.recordings import load_source
    from acestep_core.render.stages import encode_audio

    models = opened(tiny_root)
    trainset = preprocess(dataset, models.model, models.vae, tmp_path)
    waveform = load_source(Path(dataset.samples[1].audio_path))
    sample = trainset.sample(1)
    assert torch.equal(sample.latents, encode_audio(models.vae, waveform[None])[0])
    seeded = encode_audio(models.vae, waveform[None], seed=3)[0]
    noise = torch.randn(1, *sample.latents.shape, generator=torch.Generator().manual_seed(3))[0]
    assert torch.equal(sample.latents + sample.std * noise, seeded)


def test_a_second_run_makes_nothing_and_each_change_only_what_it_touches(
    tiny_root: Path, tmp_path: Path, songs: Path, dataset: Dataset
) -> None:
    models = opened(tiny_root)

    def made(changed: Dataset, options: Preprocessing = Preprocessing()) -> tuple[set[str], Trainset]:  # noqa: B008
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
        trainset = preprocess(changed, models.model, models.vae, tmp_path, options)
        after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
        for index in range(len(trainset)):
            trainset.sample(index)  # every hash of the manifest is right
        return {path.parent.parts[len(tmp_path.parts)] for path, t in after.items() if before.get(path) != t}, trainset

    assert made(dataset)[0] == {"latents", "conditions"}
    assert made(dataset)[0] == set()
    ratio, trainset = made(replace(dataset, genre_ratio=40))
    assert ratio == set()
    assert [entry.genre_share for entry in trainset.manifest.samples] == [0.0, 0.4, 0.0]
    assert made(dataset.edited({"0.wav": {"repeat": 3}, "1.wav": {"excluded": True}}))[0] == set()
    assert made(dataset.edited({"0.wav": {"caption": "another"}}))[0] == {"conditions"}
    assert made(dataset, Preprocessing(max_seconds=10))[0] == {"latents", "conditions"}  # the third song is cut
    other = open_models(tiny_root, "base", device="cpu")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    preprocess(dataset, other.model, other.vae, tmp_path)  # another checkpoint: texts anew, latents stay
    changed = {
        path.parts[-3] for path in tmp_path.rglob("*.safetensors") if path.stat().st_mtime_ns != before.get(path)
    }
    assert changed == {"conditions"} and len(list((tmp_path / "conditions").iterdir())) == 2
    assert orphaned(tmp_path, trainset.manifest)
    preprocess(dataset, models.model, models.vae, tmp_path, prune=True)
    assert not orphaned(tmp_path, Trainset.open(tmp_path).manifest)


def test_a_killed_run_goes_on(tiny_root: Path, tmp_path: Path, dataset: Dataset) -> None:
    models = opened(tiny_root)

    class Killed(BaseException):
        pass

    def stop(stage: str, done: int, total: int, preview: object = None) -> None:
        if stage == "Encoding recordings" and done == 2:
            raise Killed

    from acestep_core.monitor import Monitor

    with pytest.raises(Killed):
        preprocess(dataset, models.model, models.vae, tmp_path, monitor=Monitor(stop))
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert len(first) == 2
    preprocess(dataset, models.model, models.vae, tmp_path)
    assert all(path.stat().st_mtime_ns == time for path, time in first.items())


def test_a_bad_recording_costs_only_itself(tiny_root: Path, tmp_path: Path, dataset: Dataset) -> None:
    models = opened(tiny_root)
    gone = replace(dataset.samples[0], audio_path=str(tmp_path / "gone.wav"))
    trainset = preprocess(dataset.with_samples([gone]), models.model, models.vae, tmp_path / "set")
    assert list(trainset.manifest.problems) == [gone.id]
    assert "gone.wav" in report_of(trainset)
    assert len(trainset) == 2
    lost = [replace(sample, audio_path=str(tmp_path / "gone.wav")) for sample in dataset.samples]
    with pytest.raises(DatasetError, match="2 of 3"):
        preprocess(dataset.with_samples(lost[:2]), models.model, models.vae, tmp_path / "set")
    with pytest.raises(DatasetError, match="all 3"):
        preprocess(
            dataset.with_samples(lost), models.model, models.vae, tmp_path / "set", Preprocessing(keep_going=True)
        )


def test_nothing_to_do_is_an_error(tiny_root: Path, tmp_path: Path, dataset: Dataset) -> None:
    models = opened(tiny_root)
    excluded = dataset.edited({sample.id: {"excluded": True} for sample in dataset.samples})
    for empty, reason in ((Dataset(), "holds no samples"), (excluded, "excluded")):
        with pytest.raises(DatasetError, match=reason):
            preprocess(empty, models.model, models.vae, tmp_path)


def test_options_reach_the_tensors(tiny_root: Path, tmp_path: Path, dataset: Dataset) -> None:
    models = opened(tiny_root)
    plain = preprocess(dataset, models.model, models.vae, tmp_path / "plain").sample(1)
    mean = preprocess(dataset, models.model, models.vae, tmp_path / "mean", Preprocessing(vae_mode="mean")).sample(1)
    assert torch.equal(plain.latents, mean.latents)
    assert plain.std.any() and not mean.std.any()
    loud = preprocess(
        dataset, models.model, models.vae, tmp_path / "loud", Preprocessing(loudness="peak", reference="self")
    ).sample(1)
    assert not torch.equal(plain.latents, loud.latents)
    own = loud.conditions.states(own_timbre=True)
    assert own.shape == loud.conditions.states().shape
    assert not torch.equal(own, loud.conditions.states())
    assert torch.equal(plain.conditions.states(own_timbre=True), plain.conditions.states())


def test_the_prompts_can_be_read_in_the_file(tiny_root: Path, tmp_path: Path, dataset: Dataset) -> None:
    from acestep_core.train.latents import header_of

    models = opened(tiny_root)
    trainset = preprocess(dataset, models.model, models.vae, tmp_path)
    about, _ = header_of(tmp_path / trainset.manifest.samples[1].conditions)
    sample: Sample = dataset.samples[1]
    wanted = prompts_of(sample.song(caption=f"my_style, {sample.caption}"), text2music(162 / 25))
    assert (about["prompts"]["caption.0"], about["prompts"]["lyrics"]) == wanted
    assert "- keyscale: A minor" in wanted[0]


def test_what_was_heard_of_a_recording_stays_while_it_is_used(
    tiny_root: Path, tmp_path: Path, dataset: Dataset
) -> None:
    models = opened(tiny_root)
    store = LatentStore(tmp_path, models.vae, Preprocessing().max_seconds)
    for sample in dataset.samples:
        store.codes(sample, store.made(sample), models.model)
        store.reference(sample)
    trainset = preprocess(dataset, models.model, models.vae, tmp_path, prune=True)
    assert "--prune" not in report_of(trainset) and len(list((tmp_path / "codes").iterdir())) == 3
    assert len(list((tmp_path / "latents").iterdir())) == 6
    fewer = dataset.edited({"0.wav": {"excluded": True}})
    trainset = preprocess(fewer, models.model, models.vae, tmp_path)
    assert "4 files that no song needs any more" in report_of(trainset)
    preprocess(fewer, models.model, models.vae, tmp_path, prune=True)
    assert [len(list((tmp_path / room).iterdir())) for room in ("codes", "latents")] == [2, 4]
