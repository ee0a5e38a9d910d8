"""The network of voice statistics and an encoder: what describes, what decides, and what frames say."""

import numpy as np
import pytest
import torch
from torch import Tensor

from thymos.encoder.attentive import AttentiveEncoder, AttentiveSettings, EmotionHead, EmotionNetwork
from thymos.encoder.level_mel import LevelMelSettings, scale_levels
from thymos.encoder.voice_statistics import SPREADS, VoiceDescriber, VoiceNetwork

FEATURES = LevelMelSettings(n_bands=16)
PLAIN = AttentiveSettings(widths=(4, 6), blocks=(1, 2), time_strides=(2, 1), frame_units=6, attention_units=4)
CLASSES = 4


def levels(batch: int, frames: int) -> Tensor:
    """Levels in dB of which no two frames are equally loud."""
    generator = torch.Generator().manual_seed(frames)
    loudness = -22 + 10 * torch.randn(batch, 1, 1, frames, generator=generator)
    return loudness + 6 * torch.randn(batch, 3, FEATURES.n_bands, frames, generator=generator)


def make_network(size: AttentiveSettings) -> VoiceNetwork:
    """A network whose normalisations, mean and spread have seen recordings."""
    torch.manual_seed(1)
    encoder = AttentiveEncoder(size, 3, FEATURES.n_bands)
    head = EmotionHead(size.embedding, 2, 0.0)
    for _ in range(10):
        EmotionNetwork(encoder, head).train()(scale_levels(levels(6, 30), FEATURES))
    describer = VoiceDescriber(encoder, FEATURES).eval()
    with torch.inference_mode():
        seen = torch.cat([describer(levels(6, frames)).description for frames in (20, 40)])
    network = VoiceNetwork(describer, seen.shape[1], CLASSES).eval()
    network.mean.copy_(seen.mean(0))
    network.spread.copy_(seen.std(0) + 1e-3)
    return network


@pytest.fixture(scope="module")
def network() -> VoiceNetwork:
    return make_network(PLAIN)


@torch.inference_mode()
def test_a_description_is_statistics_and_embedding(network: VoiceNetwork) -> None:
    given = levels(3, 25)
    described = network.describer(given)
    encoded = network.describer.encoder(scale_levels(given, FEATURES))
    parts = [network.describer.statistics(given), encoded.embedding]
    torch.testing.assert_close(described.description, torch.cat(parts, dim=1), atol=0, rtol=0)
    torch.testing.assert_close(described.embedding, encoded.embedding, atol=0, rtol=0)
    torch.testing.assert_close(described.frames, encoded.frames, atol=0, rtol=0)


@torch.inference_mode()
def test_logits_are_a_linear_layer_on_standard_values_within_bounds(network: VoiceNetwork) -> None:
    given = levels(3, 25)
    description = network.describer(given).description.double().numpy()
    standard = (description - network.mean.double().numpy()) / network.spread.double().numpy()
    weight, bias = (part.double().numpy() for part in (network.linear.weight, network.linear.bias))
    expected = (SPREADS * np.tanh(standard / SPREADS)) @ weight.T + bias
    np.testing.assert_allclose(network(given).numpy(), expected, atol=1e-3)
    assert np.ptp(expected, axis=0).min() > 0.1, "else any recording would do"


@torch.inference_mode()
def test_far_values_are_bounded_and_near_ones_stay(network: VoiceNetwork) -> None:
    usual = network.decide(network.mean[None])
    torch.testing.assert_close(usual[0], network.linear.bias, atol=1e-6, rtol=0)
    for place in (0, len(network.mean) - 1):
        weight = network.linear.weight[:, place]
        for deviation, counted in ((0.1, 0.1), (-0.1, -0.1), (1e6, SPREADS), (-1e6, -SPREADS)):
            moved = network.mean.clone()
            moved[place] += deviation * network.spread[place]
            change = (network.decide(moved[None]) - usual)[0]
            torch.testing.assert_close(change, counted * weight, atol=2e-3, rtol=2e-2)


@torch.inference_mode()
def test_a_recording_scores_the_same_alone_and_in_a_batch(network: VoiceNetwork) -> None:
    for frames in (1, 2, 33):
        batch = levels(4, frames)
        together = network(batch)
        assert together.isfinite().all()
        alone = torch.cat([network(picture[None]) for picture in batch])
        torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-4)


@torch.inference_mode()
def test_a_frames_logits_are_those_of_a_recording_whose_means_it_is(network: VoiceNetwork) -> None:
    described = network.describer(levels(2, 25))
    found = network.frame_logits(described)
    features = described.frames.shape[2]
    statistics = network.describer.statistics.count
    assert found.shape == (2, described.frames.shape[1], CLASSES)
    for number in range(described.frames.shape[1]):
        frame = described.frames[:, number]
        as_if = described.description.clone()
        as_if[:, statistics : statistics + features] = frame
        torch.testing.assert_close(found[:, number], network.decide(as_if), atol=1e-4, rtol=1e-4)
    assert found.std(1).min() > 1e-3, "frames differ in what they say"


@torch.inference_mode()
def test_frames_average_to_the_recording_where_nothing_is_bounded(network: VoiceNetwork) -> None:
    """Near the mean the decision is linear: the recording's logits are the frames', by attention."""
    described = network.describer(levels(2, 25))
    spread, weight = network.spread.clone(), network.linear.weight.clone()
    attention = network.describer.encoder.attention(described.frames).softmax(1)
    assert attention.std() > 1e-4, "else any mean would do"
    try:
        network.spread.mul_(1e4)
        network.linear.weight.mul_(1e4)
        found = network.frame_logits(described)
        logits = network.decide(described.description)
        torch.testing.assert_close((found * attention).sum(1), logits, atol=4e-4, rtol=0)
        assert not torch.allclose(found.mean(1), logits, atol=4e-4, rtol=0), "attention matters"
    finally:
        network.spread.copy_(spread)
        network.linear.weight.copy_(weight)
