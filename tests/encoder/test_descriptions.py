"""Descriptions on disk, and a linear discriminant fitted to some of them: against plain numpy, and to nothing else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from thymos.encoder.attentive import AttentiveEncoder, AttentiveSettings, EmotionHead, EmotionNetwork
from thymos.encoder.decision import Discriminant
from thymos.encoder.descriptions import (
    decide,
    describe_recordings,
    describer,
    fit_discriminant,
    voice_network,
)
from thymos.encoder.distortions import DistortionSettings
from thymos.encoder.encoder_file import Pretrained, read_encoder, write_encoder
from thymos.encoder.level_mel import LevelMelSettings
from thymos.encoder.level_spectrograms import Recordings
from thymos.encoder.recipe import EncoderRecipe
from thymos.errors import RecipeError
from thymos.experiment import Work

FEATURES = LevelMelSettings(n_bands=16)
SIZE = AttentiveSettings(widths=(4, 6), blocks=(1, 1), time_strides=(2, 1), frame_units=6, attention_units=4)
SPEEDS = 3
TARGETS = np.array([0, 1, 2, 0, 1, 2, 0, 0, 0, 1, 1, 2, 0, 1, 2, 2], np.int64)
TRAIN = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
"""Five of class 0, four of class 1, two of class 2."""
OTHERS = [11, 12, 13, 14, 15]


NOTHING = DistortionSettings(
    band_warp=0, time_stretch=0, colour_db=0, level_db=0, reverberated=0, noisy=0, band_limited=0
)
ONLY_NOISE = NOTHING.model_copy(update={"noisy": 1.0})


def write_random_encoder(folder: Path, seed: int) -> Pretrained:
    torch.manual_seed(seed)
    network = EmotionNetwork(AttentiveEncoder(SIZE, 3, FEATURES.n_bands), EmotionHead(SIZE.embedding, 2, 0.1))
    write_encoder(folder, network.eval(), ("anger", "calm"), FEATURES, SIZE, [], {})
    return read_encoder(folder)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    return write_random_encoder(tmp_path_factory.mktemp("encoder") / "one", 0)


@pytest.fixture(scope="module")
def recordings() -> Recordings:
    """A class is loud in bands of its own."""
    random = np.random.default_rng(0)
    values, starts = [], []
    for _ in range(SPEEDS):
        lengths = random.integers(10, 30, len(TARGETS))
        made = []
        for kind, length in zip(TARGETS, lengths, strict=True):
            levels = random.normal(-25, 3, (length, 3, FEATURES.n_bands)) + random.normal(0, 8, (length, 1, 1))
            levels[:, :, 4 * kind : 4 * kind + 4] += 6
            made.append(levels.astype(np.float16))
        values.append(np.concatenate(made))
        starts.append(np.concatenate([[0], np.cumsum(lengths)]))
    return Recordings(Path("pack"), tuple(values), tuple(starts))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def file(recordings: Recordings, pretrained: Pretrained, cache: Path) -> Path:
    return describe_recordings(recordings, recipe(), pretrained, Work(cache))


def recipe(**discriminant: Any) -> EncoderRecipe:
    return EncoderRecipe.model_validate(
        {"name": "toy", "training": {"epochs": 0}, "speeds": [1.0, 0.9, 1.1], "discriminant": discriminant}
    )


def changed(file: Path, folder: Path, change: Callable[[NDArray[np.float32]], None]) -> Path:
    """Return a copy of a file of descriptions with other values."""
    descriptions = np.load(file)
    change(descriptions)
    np.save(folder / "changed.npy", descriptions)
    return folder / "changed.npy"


def assert_same(one: Discriminant, other: Discriminant) -> None:
    for name in ("mean", "spread", "weights", "bias"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_distorted_copies_come_after_the_speeds_and_are_the_same_each_time(
    file: Path, recordings: Recordings, pretrained: Pretrained, tmp_path: Path
) -> None:
    noisy = recipe(distorted_copies=2).model_copy(update={"distortions": ONLY_NOISE})
    found = np.load(describe_recordings(recordings, noisy, pretrained, Work(tmp_path / "one")))
    plain = np.load(file)
    assert found.shape == (SPEEDS + 2, *plain.shape[1:])
    np.testing.assert_array_equal(found[:SPEEDS], plain)
    assert not np.allclose(found[SPEEDS], found[SPEEDS + 1], atol=1e-2)
    again = np.load(describe_recordings(recordings, noisy, pretrained, Work(tmp_path / "two")))
    np.testing.assert_array_equal(again, found)
    other = np.load(describe_recordings(recordings, noisy, pretrained, Work(tmp_path / "one", seed=1)))
    np.testing.assert_array_equal(other[:SPEEDS], plain)
    assert not np.allclose(other[SPEEDS:], found[SPEEDS:], atol=1e-2)
    quiet = recipe(distorted_copies=2).model_copy(update={"distortions": NOTHING})
    unchanged = np.load(describe_recordings(recordings, quiet, pretrained, Work(tmp_path / "one")))
    for recording in range(len(TARGETS)):
        for copy in unchanged[SPEEDS:, recording]:  # undistorted, a copy is one of the speeds
            assert any(np.allclose(copy, speed, atol=1e-4) for speed in plain[:, recording])


def test_a_discriminant_learns_from_distorted_copies(
    recordings: Recordings, pretrained: Pretrained, tmp_path: Path
) -> None:
    noisy = recipe(distorted_copies=1).model_copy(update={"distortions": ONLY_NOISE})
    path = describe_recordings(recordings, noisy, pretrained, Work(tmp_path))

    def move(descriptions: NDArray[np.float32]) -> None:
        descriptions[SPEEDS, TRAIN[0]] += 1

    before = fit_discriminant(noisy, pretrained, path, TARGETS[TRAIN], TRAIN)
    after = fit_discriminant(noisy, pretrained, changed(path, tmp_path, move), TARGETS[TRAIN], TRAIN)
    assert not np.array_equal(after.weights, before.weights)


def test_descriptions_are_the_describers_at_every_speed(
    file: Path, recordings: Recordings, pretrained: Pretrained
) -> None:
    found = np.load(file)
    module = describer(pretrained)
    assert found.dtype == np.float32
    assert found.shape[:2] == (SPEEDS, len(TARGETS))
    with torch.inference_mode():
        for speed in range(SPEEDS):
            for recording in (0, 7, 15):
                expected = module(recordings.levels(recording, speed)).description[0]
                np.testing.assert_array_equal(found[speed, recording], expected.numpy())
    assert not np.array_equal(found[0], found[1])


def test_the_encoder_is_used_as_pretraining_left_it(pretrained: Pretrained) -> None:
    module = describer(pretrained)
    assert not module.training
    own = module.encoder.state_dict()
    assert own
    for name, tensor in own.items():
        assert torch.equal(tensor, pretrained.state[f"encoder.{name}"]), name


def test_a_second_call_describes_nothing_and_tells_of_every_recording(
    recordings: Recordings, pretrained: Pretrained, tmp_path: Path
) -> None:
    told: list[None] = []
    first = describe_recordings(recordings, recipe(), pretrained, Work(tmp_path, advance=lambda: told.append(None)))
    assert len(told) == len(TARGETS)
    kept = np.load(first) + 1
    np.save(first, kept)
    again = describe_recordings(recordings, recipe(), pretrained, Work(tmp_path, advance=lambda: told.append(None)))
    assert (again, len(told)) == (first, 2 * len(TARGETS))
    np.testing.assert_array_equal(np.load(again), kept)


def test_another_encoder_or_other_recordings_are_another_file(
    recordings: Recordings, pretrained: Pretrained, file: Path, cache: Path, tmp_path: Path
) -> None:
    other = describe_recordings(recordings, recipe(), write_random_encoder(tmp_path / "two", 1), Work(cache))
    assert other != file
    assert not np.array_equal(np.load(other), np.load(file))
    fewer = replace(recordings, folder=Path("fewer"), starts=tuple(starts[:3] for starts in recordings.starts))
    assert np.load(describe_recordings(fewer, recipe(), pretrained, Work(cache))).shape[1] == 2


def test_what_is_interrupted_leaves_no_file(recordings: Recordings, pretrained: Pretrained, tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        describe_recordings(recordings, recipe(), pretrained, Work(tmp_path, advance=interrupt))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_without_an_encoder_there_are_no_descriptions(recordings: Recordings, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^a discriminant needs a pretrained encoder: start_from cannot be scratch$"):
        describe_recordings(recordings, recipe(), None, Work(tmp_path))


def by_hand(rows: NDArray[np.float64], truth: NDArray[np.int64], shrinkage: float, queries: NDArray[np.float64]) -> Any:
    """Logits of a Gaussian for each class with one covariance, drawn towards a multiple of the identity."""
    classes = np.unique(truth)
    means = np.array([rows[truth == kind].mean(0) for kind in classes])
    covariance = np.zeros((rows.shape[1],) * 2)
    for kind in classes:
        own = np.cov(rows[truth == kind].T, bias=True)
        own = (1 - shrinkage) * own + shrinkage * np.trace(own) / len(own) * np.eye(len(own))
        covariance += own / len(classes)
    inverse = np.linalg.inv(covariance)
    return np.stack([-0.5 * np.einsum("rd,de,re->r", queries - m, inverse, queries - m) for m in means], axis=1)


@pytest.mark.parametrize("classes", [3, 2])
def test_it_is_the_discriminant_of_the_textbook_with_equal_priors(
    file: Path, pretrained: Pretrained, classes: int
) -> None:
    train = [row for row in TRAIN if TARGETS[row] < classes]
    targets = np.minimum(TARGETS, classes - 1)
    parts = ("statistics", "embedding")
    found = fit_discriminant(recipe(shrinkage=0.6, parts=parts), pretrained, file, targets[train], train)
    descriptions = np.load(file).astype(np.float64)
    rows = np.concatenate([descriptions[speed, train] for speed in range(SPEEDS)])
    mean, spread = rows.mean(0), rows.std(0)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(found.spread, spread, rtol=1e-9, atol=1.1e-6)

    def standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return 2 * np.tanh((values - mean) / (spread + 1e-6) / 2)

    truth = np.concatenate([targets[train]] * SPEEDS)
    assert len(set(np.bincount(truth))) == classes, "classes are not equally frequent, so that priors matter"
    expected = np.stack([by_hand(standard(rows), truth, 0.6, standard(at[OTHERS])) for at in descriptions[:2]])
    logits, reference = found.logits(file, OTHERS, 2), expected.mean(0)
    # What all classes have in common decides nothing.
    centred = [values - values.mean(1, keepdims=True) for values in (logits, reference)]
    assert np.ptp(centred[1], axis=0).min() > 10
    np.testing.assert_allclose(*centred, rtol=1e-6, atol=1e-4)


def test_two_classes_have_two_logits(file: Path, pretrained: Pretrained) -> None:
    train = [row for row in TRAIN if TARGETS[row] < 2]
    found = fit_discriminant(recipe(), pretrained, file, np.minimum(TARGETS, 1)[train], train)
    assert found.weights.shape == (len(found.mean), 2)
    assert found.bias.shape == (2,)
    logits = found.logits(file, train, 1)
    assert (logits.argmax(1) == TARGETS[train]).all()
    assert voice_network(pretrained, found).linear.out_features == 2


def test_it_tells_recordings_that_it_was_not_fitted_to(file: Path, pretrained: Pretrained) -> None:
    found = fit_discriminant(recipe(), pretrained, file, TARGETS[TRAIN], TRAIN)
    assert (found.logits(file, OTHERS, 3).argmax(1) == TARGETS[OTHERS]).mean() > 0.7


def test_it_is_fitted_to_the_training_rows_alone(file: Path, pretrained: Pretrained, tmp_path: Path) -> None:
    def spoil(descriptions: NDArray[np.float32]) -> None:
        descriptions[:, OTHERS] = 1e6

    before = fit_discriminant(recipe(), pretrained, file, TARGETS[TRAIN], TRAIN)
    assert_same(fit_discriminant(recipe(), pretrained, changed(file, tmp_path, spoil), TARGETS[TRAIN], TRAIN), before)


@pytest.mark.parametrize("speed", range(SPEEDS))
def test_it_is_fitted_to_every_speed(file: Path, pretrained: Pretrained, tmp_path: Path, speed: int) -> None:
    def move(descriptions: NDArray[np.float32]) -> None:
        descriptions[speed, TRAIN[0]] += 1

    before = fit_discriminant(recipe(), pretrained, file, TARGETS[TRAIN], TRAIN)
    after = fit_discriminant(recipe(), pretrained, changed(file, tmp_path, move), TARGETS[TRAIN], TRAIN)
    assert not np.array_equal(after.mean, before.mean)
    assert not np.array_equal(after.weights, before.weights)


def test_recordings_as_they_are_count_as_much_as_is_asked_for(file: Path, pretrained: Pretrained) -> None:
    found = fit_discriminant(recipe(recorded_share=0.8), pretrained, file, TARGETS[TRAIN], TRAIN)
    of_each = np.load(file)[:, TRAIN].astype(np.float64).mean(1)
    np.testing.assert_allclose(found.mean, np.array([0.8, 0.1, 0.1]) @ of_each, rtol=1e-9)
    alike = fit_discriminant(recipe(recorded_share=1 / 3), pretrained, file, TARGETS[TRAIN], TRAIN)
    usual = fit_discriminant(recipe(), pretrained, file, TARGETS[TRAIN], TRAIN)
    np.testing.assert_allclose(alike.weights, usual.weights, rtol=1e-6, atol=1e-9)


def test_distorted_copies_count_together_as_much_as_is_asked_for(
    recordings: Recordings, pretrained: Pretrained, tmp_path: Path
) -> None:
    noisy = recipe(distorted_copies=2, recorded_share=0.5, distorted_share=0.1)
    noisy = noisy.model_copy(update={"distortions": ONLY_NOISE})
    path = describe_recordings(recordings, noisy, pretrained, Work(tmp_path))
    found = fit_discriminant(noisy, pretrained, path, TARGETS[TRAIN], TRAIN)
    of_each = np.load(path)[:, TRAIN].astype(np.float64).mean(1)
    np.testing.assert_allclose(found.mean, np.array([0.5, 0.2, 0.2, 0.05, 0.05]) @ of_each, rtol=1e-9)
    without = noisy.discriminant.model_copy(update={"recorded_share": None}) if noisy.discriminant else None
    found = fit_discriminant(
        noisy.model_copy(update={"discriminant": without}), pretrained, path, TARGETS[TRAIN], TRAIN
    )
    np.testing.assert_allclose(found.mean, np.array([0.3, 0.3, 0.3, 0.05, 0.05]) @ of_each, rtol=1e-9)


def test_shares_leave_a_rest() -> None:
    with pytest.raises(ValueError, match="should leave a rest"):
        recipe(distorted_copies=2, recorded_share=0.5, distorted_share=0.5)


def test_of_one_version_alone_that_is_all(file: Path, pretrained: Pretrained, tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.load(file)[:1])
    with_share = fit_discriminant(recipe(recorded_share=0.8), pretrained, tmp_path / "one.npy", TARGETS[TRAIN], TRAIN)
    assert_same(with_share, fit_discriminant(recipe(), pretrained, tmp_path / "one.npy", TARGETS[TRAIN], TRAIN))


@pytest.mark.parametrize("parts", [("statistics",), ("embedding",)])
def test_parts_that_are_left_out_have_no_weight(
    file: Path, pretrained: Pretrained, tmp_path: Path, parts: tuple[str, ...]
) -> None:
    module = describer(pretrained)
    embedding = module.statistics.count
    total = np.load(file).shape[2]
    assert total == embedding + SIZE.embedding
    places = {"statistics": (0, embedding), "embedding": (embedding, total)}
    found = fit_discriminant(recipe(parts=parts), pretrained, file, TARGETS[TRAIN], TRAIN)
    for part, (first, end) in places.items():
        own = found.weights[first:end]
        assert np.abs(own).max() > 1e-3 if part in parts else (own == 0).all()

    def spoil(descriptions: NDArray[np.float32]) -> None:
        for part, (first, end) in places.items():
            if part not in parts:
                descriptions[:, :, first:end] = np.random.default_rng(0).normal(size=descriptions[..., first:end].shape)

    spoilt = changed(file, tmp_path, spoil)
    again = fit_discriminant(recipe(parts=parts), pretrained, spoilt, TARGETS[TRAIN], TRAIN)
    np.testing.assert_allclose(again.logits(spoilt, OTHERS, 3), found.logits(file, OTHERS, 3), atol=1e-9)


def test_the_order_of_the_parts_does_not_matter(file: Path, pretrained: Pretrained) -> None:
    one, other = (
        fit_discriminant(recipe(parts=parts), pretrained, file, TARGETS[TRAIN], TRAIN)
        for parts in (("statistics", "embedding"), ("embedding", "statistics"))
    )
    assert_same(one, other)


def test_logits_are_the_mean_over_the_first_speeds(file: Path, pretrained: Pretrained) -> None:
    found = fit_discriminant(recipe(), pretrained, file, TARGETS[TRAIN], TRAIN)
    descriptions = np.load(file).astype(np.float64)
    of_each = [found.standardise(at[OTHERS]) @ found.weights + found.bias for at in descriptions]
    for speeds in (1, 2, 3):
        np.testing.assert_allclose(found.logits(file, OTHERS, speeds), np.mean(of_each[:speeds], axis=0), atol=1e-9)
    assert not np.allclose(of_each[0], of_each[1], atol=1e-2)


def test_pretraining_decides_where_the_recipe_asks_it(file: Path, pretrained: Pretrained) -> None:
    fitted = fit_discriminant(recipe(), pretrained, file, TARGETS[TRAIN], TRAIN)
    knowing = replace(pretrained, labels=("sadness", "anger", "fear"), discriminant=fitted)
    asked = recipe(fitted_to="pretraining")
    assert not asked.learns
    assert recipe().learns
    found = decide(asked, knowing, file, TARGETS[:0], [], ("fear", "sadness"))
    np.testing.assert_array_equal(found.weights, fitted.weights[:, [2, 0]])
    np.testing.assert_array_equal(found.bias, fitted.bias[[2, 0]])
    assert_same(decide(recipe(), pretrained, file, TARGETS[TRAIN], TRAIN, ("a", "b", "c")), fitted)


@pytest.mark.parametrize("speed", range(SPEEDS))
def test_the_network_says_from_levels_what_the_discriminant_says_of_descriptions(
    file: Path, recordings: Recordings, pretrained: Pretrained, speed: int
) -> None:
    parts = ("statistics", "embedding")
    found = fit_discriminant(recipe(parts=parts, shrinkage=0.9), pretrained, file, TARGETS[TRAIN], TRAIN)
    network = voice_network(pretrained, found)
    assert not network.training
    descriptions = np.load(file)[speed].astype(np.float64)
    expected = found.standardise(descriptions) @ found.weights + found.bias
    with torch.inference_mode():
        logits = torch.cat([network(recordings.levels(row, speed)) for row in range(len(TARGETS))]).numpy()
    np.testing.assert_allclose(logits, expected, atol=2e-3, rtol=1e-4)  # float32 beside float64
    assert np.ptp(expected, axis=0).min() > 1
