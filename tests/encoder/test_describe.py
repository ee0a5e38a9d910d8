"""Descriptions: means and standard deviations of states, whatever the batch, of recordings of any length."""

import numpy as np
import pytest
import torch

from thymos.audio import Waveform
from thymos.encoder import describe as module
from thymos.encoder.describe import Describer, describe, pooled_states
from thymos.encoder.log_mel import WhisperLogMel, at_level
from thymos.encoder.network import States


@pytest.fixture
def recordings() -> list[Waveform]:
    random = np.random.default_rng(0)
    return [Waveform(random.normal(0, 0.1, n).astype(np.float32), 16_000) for n in (9000, 4000, 16_000)]


def test_pooled_states_by_hand():
    first = torch.tensor([[[1.0, 5], [3, 5], [99, 99]]])
    states = States((first, first * 2), torch.tensor([[True, True, False]]))
    assert pooled_states(states, (2, 1))[0].tolist() == [4, 10, 2, 0, 2, 5, 1, 0]


def test_a_description_is_of_the_chosen_layers(tiny_layers, recordings):
    layers = tiny_layers()
    described = describe(Describer(layers, (2, 3)), recordings)
    assert described.shape == (1, 3, 4 * 16) and described.dtype == np.float32
    samples, length = torch.from_numpy(recordings[0].samples)[None], torch.tensor([9000])
    with torch.inference_mode():
        states, _ = layers(*WhisperLogMel()(at_level(samples, length), length))
    expected = np.concatenate([part for layer in states[1:] for part in (layer[0].mean(0), layer[0].std(0, False))])
    np.testing.assert_allclose(described[0, 0], expected, atol=1e-5)


def test_batches_and_order_change_nothing(tiny_layers, recordings):
    describer = Describer(tiny_layers())
    once = describe(describer, recordings, (1.0, 0.9), batch=2)
    assert once.shape == (2, 3, 64)
    np.testing.assert_allclose(describe(describer, recordings[::-1], (1.0, 0.9), batch=3), once[:, ::-1], atol=1e-5)
    np.testing.assert_allclose(describe(describer, recordings)[0], once[0], atol=1e-5)
    assert np.abs(once[0] - once[1]).max() > 1e-3
    np.testing.assert_allclose(describe(describer, recordings, half=True)[0], once[0], atol=0.05)


def test_long_recordings_are_described_by_windows(tiny_layers, recordings, monkeypatch):
    describer = Describer(tiny_layers())
    parts = describe(describer, [Waveform(half, 16_000) for half in np.split(recordings[2].samples, 2)])[0].astype(
        float
    )
    monkeypatch.setattr(module, "WINDOW_S", 0.6)
    described = describe(describer, recordings)[0, 2]
    mean, spread = parts.reshape(2, 2, 2, 16).transpose(2, 0, 1, 3)
    together = np.sqrt((spread**2 + mean**2).mean(0) - mean.mean(0) ** 2)
    np.testing.assert_allclose(described, np.stack([mean.mean(0), together], 1).ravel(), atol=1e-5)
