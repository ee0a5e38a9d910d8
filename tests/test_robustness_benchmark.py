"""The benchmark of robustness, on a part of the mini corpus and from a tiny encoder."""

import argparse
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

from thymos.audio import read_waveform
from thymos.audio.distort import CONDITIONS
from thymos.corpora import Clip, open_corpus
from thymos.corpora.folds import Fold
from thymos.encoder.attentive import AttentiveEncoder, AttentiveSettings, EmotionHead, EmotionNetwork
from thymos.encoder.descriptions import fit_discriminant, voice_network
from thymos.encoder.encoder_file import resolved, write_encoder
from thymos.encoder.experiment import prepare
from thymos.encoder.level_mel import LevelMelSettings
from thymos.errors import CorpusError, LeakageError, ProtocolError
from thymos.evaluation.evaluate import EvaluationPlan, evaluate
from thymos.labels import AESDD_EMOTIONS
from thymos.recipes import load_recipe

ROOT = Path(__file__).resolve().parents[1]
FEATURES = LevelMelSettings(n_bands=16)
SIZE = AttentiveSettings(widths=(4, 8), blocks=(1, 1), time_strides=(2, 1), frame_units=8, attention_units=4)
CHANGES = ["speeds=[1.0, 0.9, 1.1]", "discriminant.scored_speeds=2", "calibration_splits=0"]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("robustness_benchmark", ROOT / "benchmarks" / "robustness.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def corpus(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five emotions by five speakers, one sentence."""
    root = tmp_path_factory.mktemp("corpus") / "thin"
    for speaker in "12345":
        for clip in sorted(mini.glob(f"*/?02 ({speaker}).opus")):
            (root / clip.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(clip, root / clip.parent.name)
    return root


@pytest.fixture(scope="module")
def write_tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    def write(seen: tuple[Clip, ...] = ()) -> Path:
        torch.manual_seed(2)
        network = EmotionNetwork(AttentiveEncoder(SIZE, 3, FEATURES.n_bands), EmotionHead(SIZE.embedding, 2, 0.1))
        folder = tmp_path_factory.mktemp("encoder") / "tiny"
        write_encoder(folder, network.eval(), ("calm", "neutral"), FEATURES, SIZE, list(seen), {})
        return folder

    return write


@pytest.fixture(scope="module")
def encoder(write_tiny_encoder: Callable[..., Path]) -> Path:
    return write_tiny_encoder()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def changes(encoder: Path) -> list[str]:
    return [f"start_from={encoder}", *CHANGES]


heard_at: set[tuple[float, ...]] = set()
"""Speeds that predictors were made with."""


def arguments(corpus: Path, encoder: Path, cache: Path, **changed: Any) -> argparse.Namespace:
    known = {"corpus": str(corpus), "recipe": "thymos", "set": changes(encoder), "protocol": "recording", "seed": 0}
    return argparse.Namespace(**(known | {"cache_dir": cache} | changed))


@pytest.fixture(scope="module")
def out(
    benchmark: ModuleType, corpus: Path, encoder: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What the command leaves."""

    class Noted(benchmark.Predictor):
        def __init__(self, network: Any, recipe: Any, speeds: Sequence[float]):
            super().__init__(network, recipe, speeds)
            heard_at.add(tuple(speeds))

    folder = tmp_path_factory.mktemp("out")
    words = [str(corpus), "--out", str(folder), "--cache-dir", str(cache), "--set", *changes(encoder)[:1]]
    words += [word for change in CHANGES for word in ("--set", change)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "Predictor", Noted)
        patch.setattr(sys, "argv", ["robustness.py", *words])
        benchmark.main()
    return folder


def test_it_scores_every_condition_and_group(out: Path) -> None:
    found = json.loads((out / "robustness.json").read_text())
    assert [row["condition"] for row in found["conditions"]] == list(CONDITIONS)
    assert {row["recordings"] for row in found["conditions"]} == {25}
    groups = {(row["by"], row["group"]): row["recordings"] for row in found["groups"]}
    assert [groups["emotion", word] for word in AESDD_EMOTIONS] == [5] * 5
    assert (groups["gender", "female"], groups["gender", "male"]) == (15, 10)
    assert sum(count for (by, _), count in groups.items() if by == "duration") == 25
    assert found["recipe"]["discriminant"]["scored_speeds"] == 2
    assert found["protocol"] == "recording"


def test_it_hears_at_the_speeds_that_are_scored_and_means_their_logits(
    out: Path, benchmark: ModuleType, corpus: Path, encoder: Path, cache: Path
) -> None:
    assert heard_at == {(1.0, 0.9)}
    recipe, pretrained = resolved(load_recipe("thymos", changes(encoder)))
    opened = open_corpus(str(corpus), cache_dir=cache)
    file = prepare(opened, recipe, cache, lambda: None, 1, 0).descriptions_file
    assert file is not None
    targets = np.array([opened.emotions.index(clip.emotion) for clip in opened.clips])
    fitted = fit_discriminant(recipe, pretrained, file, targets, range(len(targets)))
    predict = benchmark.Predictor(voice_network(pretrained, fitted), recipe, (1.0, 0.9))
    waveforms = [read_waveform(opened.root / clip.path) for clip in opened.clips[:3]]
    found = predict([(waveform.samples, waveform.rate_hz) for waveform in waveforms])
    # Levels are kept on disk with half the precision.
    np.testing.assert_allclose(found, softmax(fitted.logits(file, [0, 1, 2], 2), axis=1), atol=0.02)


def test_what_is_clean_scores_as_an_evaluation_does(
    out: Path, corpus: Path, encoder: Path, cache: Path, tmp_path: Path
) -> None:
    plan = EvaluationPlan(load_recipe("thymos", changes(encoder)), threads=1)
    expected = evaluate(open_corpus(str(corpus), cache_dir=cache), plan, tmp_path / "run", cache)
    rows = {row["condition"]: row for row in json.loads((out / "robustness.json").read_text())["conditions"]}
    accuracy = expected["summary"]["recording"]["pooled"]["accuracy"]
    assert accuracy > 0.3
    # Levels are kept on disk with half the precision, so one close decision may fall the other way.
    assert rows["clean"]["accuracy"] == pytest.approx(accuracy, abs=0.051)
    assert rows["half volume"]["difference"] == pytest.approx(0, abs=5.1)
    assert any(row["difference"] != 0 for row in rows.values()), "distorted sound is what is heard"


def test_the_table_has_a_row_for_each(out: Path) -> None:
    found = json.loads((out / "robustness.json").read_text())
    page = (out / "robustness.md").read_text()
    lines = page.splitlines()
    for row in found["conditions"]:
        (line,) = [line for line in lines if line.startswith(f"| {row['condition']} |")]
        assert f"| {100 * row['accuracy']:.1f} [" in line
        assert f"| {row['difference']:.1f} [" in line
    for row in found["groups"]:
        assert any(line.startswith(f"| {row['by']} | {row['group']} | {row['recordings']} |") for line in lines)
    assert "robustness.py" in lines[0]
    assert "25 recordings" in lines[0]


def test_only_the_training_part_babbles(benchmark: ModuleType) -> None:
    fold = Fold(0, 0, "x", tuple(f"train-{i}.wav" for i in range(200)), tuple(f"test-{i}.wav" for i in range(50)))
    around = benchmark.babblers(fold, Path("corpus"), 0)
    assert len(set(around)) == benchmark.BABBLERS
    assert set(around) <= {Path("corpus") / path for path in fold.train}
    assert around != benchmark.babblers(fold, Path("corpus"), 1)
    few = replace(fold, train=fold.train[:3])
    assert len(set(benchmark.babblers(few, Path("corpus"), 0))) == 3


def test_an_encoder_that_has_heard_a_recording_is_refused(
    benchmark: ModuleType, corpus: Path, write_tiny_encoder: Callable[..., Path], cache: Path, tmp_path: Path
) -> None:
    heard = write_tiny_encoder(seen=open_corpus(str(corpus), cache_dir=cache).clips[:1])
    with pytest.raises(LeakageError, match="pretrained on 1 of these recordings"):
        benchmark.measure(arguments(corpus, heard, tmp_path))


def test_a_fold_that_lacks_an_emotion_is_refused(
    benchmark: ModuleType, corpus: Path, encoder: Path, cache: Path, tmp_path: Path
) -> None:
    own = tmp_path / "corpus"
    shutil.copytree(corpus, own)
    for clip in sorted((own / "fear").iterdir())[1:]:
        clip.unlink()
    with pytest.raises(ProtocolError, match="has no recording of fear to train on"):
        benchmark.measure(arguments(own, encoder, cache, protocol="speaker"))


def test_it_leaves_out_what_an_evaluation_leaves_out(
    benchmark: ModuleType, corpus: Path, encoder: Path, cache: Path
) -> None:
    with pytest.raises(CorpusError, match="has recordings of 0 emotion; two are needed"):
        benchmark.measure(arguments(corpus, encoder, cache, set=[*changes(encoder), "max_silence_s=0.000001"]))


def test_a_recipe_without_a_discriminant_is_one_sentence(
    benchmark: ModuleType, corpus: Path, encoder: Path, cache: Path
) -> None:
    with pytest.raises(SystemExit, match="recipe fine-tuned has no discriminant"):
        benchmark.measure(arguments(corpus, encoder, cache, recipe="fine-tuned", set=[]))
