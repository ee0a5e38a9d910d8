"""The network of whole recordings: any length, any option, and a recording alone scores as it does among others."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from thymos.evaluation.workers import torch_threads
from thymos.models.attentive import (
    AttentiveEncoder,
    AttentiveSettings,
    EmotionHead,
    EmotionNetwork,
    attentive_statistics,
)
from thymos.training.recipe import load_recipe, shipped_recipes

BANDS = 13
PLAIN = AttentiveSettings(
    widths=(4, 8), blocks=(1, 1), time_strides=(2, 1), frame_units=6, gru_units=0, attention_units=5
)
OPTIONS = {
    "plain": PLAIN,
    "gru": PLAIN.model_copy(update={"gru_units": 3}),
    "no strides": PLAIN.model_copy(update={"time_strides": (1, 1)}),
    "all strides": PLAIN.model_copy(update={"time_strides": (2, 2)}),
    "blocks": PLAIN.model_copy(update={"blocks": (2, 3)}),
    "one stage": AttentiveSettings(widths=(4,), blocks=(1,), time_strides=(1,), frame_units=6, attention_units=5),
}
every_option = pytest.mark.parametrize("settings", OPTIONS.values(), ids=OPTIONS)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def network(settings: AttentiveSettings, channels: int = 2, classes: int = 3) -> EmotionNetwork:
    torch.manual_seed(0)
    encoder = AttentiveEncoder(settings, channels, BANDS)
    return EmotionNetwork(encoder, EmotionHead(settings.embedding, classes, 0.2))


def pictures(batch: int, frames: int, channels: int = 2) -> Tensor:
    return torch.randn(batch, channels, BANDS, frames, generator=torch.Generator().manual_seed(frames))


def settled(settings: AttentiveSettings) -> EmotionNetwork:
    """A network whose normalisations have seen something, ready to score."""
    model = network(settings).train()
    with torch.no_grad():
        for _ in range(20):
            model(pictures(8, 24))
    return model.eval()


@every_option
@pytest.mark.parametrize("frames", [1, 2, 3, 8, 33])
def test_forward_and_backward_with_any_number_of_frames(settings: AttentiveSettings, frames: int) -> None:
    model = network(settings).train()
    encoded = model.encoder(pictures(4, frames))
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
        # One frame has no choice and no past; and a bias before a softmax over frames moves nothing.
        if left > 1 and name != "encoder.attention.2.bias":
            assert parameter.grad.abs().max() > 0, name


@every_option
def test_a_recording_scores_the_same_alone_and_in_a_batch(settings: AttentiveSettings) -> None:
    model = settled(settings)
    for frames in (1, 5, 24):
        batch = pictures(6, frames)
        with torch.inference_mode():
            alone = torch.cat([model(picture[None]) for picture in batch])
            torch.testing.assert_close(model(batch), alone, atol=1e-5, rtol=1e-4)


@every_option
def test_reduced_precision_is_in_the_convolutions_and_embeddings_are_float32(settings: AttentiveSettings) -> None:
    model = settled(settings)
    batch = pictures(6, 24)
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


def test_a_gru_hears_the_order_of_frames_and_the_plain_network_hears_what_is_near() -> None:
    """What the options are for: with a GRU, the first frame changes features of the last."""
    one, other = pictures(1, 64), pictures(1, 64)
    other[..., :2] += 1
    for settings, reaches in ((PLAIN, False), (OPTIONS["gru"], True)):
        encoder = settled(settings).encoder
        with torch.inference_mode():
            # Squeeze-excitation sees the mean over time: without it nothing but the receptive field is left.
            for block in encoder.stages:
                block.excitation = torch.nn.Identity()
            last = [encoder(picture).frames[:, -1] for picture in (one, other)]
        assert torch.equal(*last) is not reaches


@every_option
@pytest.mark.parametrize("frames", [1, 2, 24])
def test_describing_gives_what_forward_gives_and_how_each_block_responds(
    settings: AttentiveSettings, frames: int
) -> None:
    encoder, picture = settled(settings).encoder, pictures(3, frames)
    maps: list[Tensor] = []
    with torch.inference_mode():
        expected = encoder(picture)
        for block in encoder.stages:
            block.register_forward_hook(lambda block, given, made: maps.append(made))
        encoded, responses = encoder.describe(picture)
    torch.testing.assert_close(encoded.embedding, expected.embedding, atol=0, rtol=0)
    torch.testing.assert_close(encoded.frames, expected.frames, atol=0, rtol=0)
    assert len(maps) == sum(settings.blocks)
    by_hand = []
    for made in maps[1:]:
        over_bands = made.double().numpy().mean(2)
        by_hand += [over_bands.mean(2), over_bands.std(2)]
    by_hand.append(expected.frames.double().numpy().mean(1))
    np.testing.assert_allclose(responses.numpy(), np.concatenate(by_hand, axis=1), atol=1e-5)


def test_dropout_and_batches_matter_only_in_training() -> None:
    model = settled(PLAIN)
    batch = pictures(6, 24)
    assert torch.equal(model(batch), model(batch))
    model.train()
    assert not torch.equal(model(batch), model(batch))


@pytest.mark.parametrize("name", [*shipped_recipes("whole"), *shipped_recipes("pretraining")])
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
