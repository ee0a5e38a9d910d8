"""The network that is fine-tuned: pooling by hand, and a clip alone and in a batch."""

import numpy as np
import torch

from thymos.encoder.network import AttentivePooling, EmotionNetwork, PoolingSettings, States

POOLING = PoolingSettings(attention=4, embedding=6)


def test_pooling_by_hand():
    pooling = AttentivePooling(2, 2, 3)
    with torch.no_grad():
        for parameter in pooling.parameters():
            parameter.zero_()
        pooling.layer_weights.copy_(torch.tensor([np.log(3.0), 0.0]))
    # Each pair of states normalises to (±1, ∓1); three quarters of the first layer, one of the second.
    first = torch.tensor([[[9.0, 1], [1, 9], [5, 0]]])
    second = torch.tensor([[[9.0, 1], [9, 1], [0, 5]]])
    own = torch.tensor([[True, True, False]])
    pooled = pooling(States((first, second), own))
    expected = torch.tensor([[0.25, -0.25, 0.75, 0.75]])
    torch.testing.assert_close(pooled, expected, atol=1e-4, rtol=0)


def test_a_clip_is_the_same_alone_and_in_a_batch(tiny_layers):
    network = EmotionNetwork(tiny_layers(), POOLING, 5).eval()
    waveforms = torch.randn(3, 9000, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([9000, 5000, 3333])
    with torch.inference_mode():
        together = network(waveforms, lengths)
        assert together.shape == (3, 5)
        for clip, n in enumerate(lengths.tolist()):
            alone = network(waveforms[clip : clip + 1, :n], lengths[clip : clip + 1])
            torch.testing.assert_close(alone[0], together[clip], atol=1e-4, rtol=1e-4)


def test_level_changes_nothing(tiny_layers):
    network = EmotionNetwork(tiny_layers(), POOLING, 5).eval()
    waveform, length = torch.randn(1, 5000, generator=torch.Generator().manual_seed(0)), torch.tensor([5000])
    with torch.inference_mode():
        torch.testing.assert_close(
            network(waveform * 0.01 + 0.1, length), network(waveform, length), atol=1e-3, rtol=1e-3
        )
