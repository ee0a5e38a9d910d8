"""The network of whole recordings: any length, any option, and a recording alone scores as it does among others."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from thymos.encoder.attentive import (
    AttentiveEncoder,
    AttentiveSettings,
    EmotionHead,
    EmotionNetwork,
    attentive_statistics,
)
from thymos.recipes import load_recipe, shipped_recipes

BANDS = 13
PLAIN = AttentiveSettings(widths=(4, 8), blocks=(1, 1), time_strides=(2, 1), frame_units=6, attention_units=5)
OPTIONS = {
    "plain": PLAIN,
    "no strides": PLAIN.model_copy(update={"time_strides": (1, 1)}),
    "all strides": PLAIN.model_copy(update={"time_strides": (2, 2)}),
    "blocks": PLAIN.model_copy(update={"blocks": (2, 3)}),
    "one stage": AttentiveSettings(widths=(4,), blocks=(1,), time_strides=(1,), frame_units=6, attention_units=5),
}
every_option = pytest.mark.parametrize("settings", OPTIONS.values(), ids=OPTIONS)


def network(settings: AttentiveSettings, channels: int = 2, classes: int = 3, seed: int = 0) -> EmotionNetwork:
    torch.manual_seed(seed)
    encoder = AttentiveEncoder(settings, channels, BANDS)
    return EmotionNetwork(encoder, EmotionHead(settings.embedding, classes, 0.2))


def spectrograms(batch: int, frames: int, channels: int = 2) -> Tensor:
    return torch.randn(batch, channels, BANDS, frames, generator=torch.Generator().manual_seed(frames))


def settled(settings: AttentiveSettings, seed: int = 0) -> EmotionNetwork:
    """A network whose normalisations have seen something, ready to score."""
    model = network(settings, seed=seed).train()
    with torch.no_grad():
        for _ in range(20):
            model(spectrograms(8, 24))
    return model.eval()


@every_option
@pytest.mark.parametrize("frames", [1, 2, 3, 8, 33])
def test_forward_and_backward_with_any_number_of_frames(settings: AttentiveSettings, frames: int) -> None:
    model = network(settings).train()
    encoded = model.encoder(spectrograms(4, frames))
    left = frames
    for stride in (2, *settings.time_strides):
        left = -(-left // stride)
    assert encoded.frames.shape == (4, left, settings.embedding // 2)
    assert encoded.embedding.shape == (4, settings.embedding)
    logits = model.head(encoded.embedding)
    assert logits.shape == (4, 3)
    functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # One frame has no choice; and a bias before a softmax over frames moves nothing.
        if left > 1 and name != "encoder.attention.2.bias":
            assert parameter.grad.abs().max() > 0, name


@every_option
def test_a_recording_scores_the_same_alone_and_in_a_batch(settings: AttentiveSettings) -> None:
    model = settled(settings)
    for frames in (1, 5, 24):
        batch = spectrograms(6, frames)
        with torch.inference_mode():
            alone = torch.cat([model(spectrogram[None]) for spectrogram in batch])
            torch.testing.assert_close(model(batch), alone, atol=1e-5, rtol=1e-4)


@every_option
def test_reduced_precision_is_in_the_convolutions_and_embeddings_are_float32(settings: AttentiveSettings) -> None:
    model = settled(settings)
    batch = spectrograms(6, 24)
    with torch.inference_mode():
        exact = model.encoder(batch)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model.encoder(batch)
    assert rough.embedding.dtype == rough.frames.dtype == torch.float32
    assert not torch.equal(rough.embedding, exact.embedding)
    torch.testing.assert_close(rough.embedding, exact.embedding, atol=0.1, rtol=0.1)


def test_statistics_are_the_weighted_mean_and_standard_deviation() -> None:
    random = np.random.default_rng(0)
    frames, scores = random.normal(2, 3, (4, 7, 5)), random.normal(0, 2, (4, 7, 1))
    weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    mean = (weights * frames).sum(1)
    deviation = np.sqrt((weights * (frames - mean[:, None]) ** 2).sum(1))
    found = attentive_statistics(torch.from_numpy(frames), torch.from_numpy(scores)).numpy()
    np.testing.assert_allclose(found, np.concatenate([mean, deviation], axis=1), rtol=1e-9)


def test_weights_sum_to_one_whatever_the_scores() -> None:
    """So frames that are all alike have themselves as their mean, and all but no deviation."""
    same = torch.full((1, 9, 4), 5.0, dtype=torch.float64)
    for scores in (torch.zeros(1, 9, 1), torch.randn(1, 9, 1) * 100):
        found = attentive_statistics(same, scores.double())
        torch.testing.assert_close(found[:, :4], same[:, 0])
        torch.testing.assert_close(found[:, 4:], torch.full((1, 4), 0.01, dtype=torch.float64))


def test_attention_picks_frames_and_their_order_does_not_matter() -> None:
    frames, scores = torch.randn(1, 9, 4), torch.full((1, 9, 1), -50.0)
    scores[0, 6] = 50
    torch.testing.assert_close(attentive_statistics(frames, scores)[:, :4], frames[:, 6])
    scores, order = torch.randn(1, 9, 1), torch.randperm(9)
    torch.testing.assert_close(
        attentive_statistics(frames, scores), attentive_statistics(frames[:, order], scores[:, order])
    )


def test_gradients_stay_finite_where_all_frames_are_alike() -> None:
    frames = torch.full((1, 9, 4), 3.0, requires_grad=True)
    attentive_statistics(frames, torch.zeros(1, 9, 1)).sum().backward()
    assert frames.grad is not None
    assert frames.grad.isfinite().all()


def test_dropout_and_batches_matter_only_in_training() -> None:
    model = settled(PLAIN)
    batch = spectrograms(6, 24)
    assert torch.equal(model(batch), model(batch))
    model.train()
    assert not torch.equal(model(batch), model(batch))


@pytest.mark.parametrize("name", [*shipped_recipes("encoder"), *shipped_recipes("pretraining")])
def test_shipped_networks_are_small(name: str) -> None:
    recipe = load_recipe(name)
    with torch.device("meta"):
        encoder = AttentiveEncoder(recipe.model, len(recipe.features.channels), recipe.features.n_bands)
        model = EmotionNetwork(encoder, EmotionHead(recipe.model.embedding, 8, recipe.training.dropout))
    assert 100_000 < sum(parameter.numel() for parameter in model.parameters()) <= 6_000_000


@pytest.mark.parametrize(
    "sizes", [{"blocks": (1, 1)}, {"widths": (8, 8, 8)}, {"time_strides": (2,)}, {"widths": ()}, {"blocks": (0,) * 4}]
)
def test_sizes_that_do_not_fit_together_are_refused(sizes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ValidationError):
        AttentiveSettings.model_validate(sizes)
