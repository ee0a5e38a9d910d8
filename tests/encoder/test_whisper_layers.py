"""Whisper's layers beside a plain reckoning of the same, and what padding may not change."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from thymos.encoder.log_mel import N_MELS
from thymos.encoder.network import PREFIX, LayerSettings, WhisperLayers, read_whisper_layers
from thymos.errors import RecipeError


def plain_states(weights: dict[str, np.ndarray], log_mel: np.ndarray, layers: int, heads: int) -> list[np.ndarray]:
    """What Whisper's paper and code say, for one clip (mels, frames), without torch and in float64."""

    def gelu(x):
        return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))

    def conv(x, name, stride):
        kernel = weights[f"{name}.weight"]
        padded = np.pad(x, ((0, 0), (1, 1)))
        frames = range(0, x.shape[1], stride)
        return (
            np.stack([np.tensordot(kernel, padded[:, t : t + 3], 2) for t in frames], 1)
            + weights[f"{name}.bias"][:, None]
        )

    def norm(x, name):
        scaled = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)

    x = gelu(conv(gelu(conv(log_mel, "conv1", 1)), "conv2", 2)).T
    x = x + weights["embed_positions.weight"][: len(x)]
    after = []
    for i in range(layers):
        before = norm(x, f"layers.{i}.self_attn_layer_norm")
        q, k, v = (linear(before, f"layers.{i}.self_attn.{part}_proj") for part in "qkv")
        joined = []
        for own in np.split(np.arange(x.shape[1]), heads):
            scores = np.exp(q[:, own] @ k[:, own].T / math.sqrt(len(own)))
            joined.append(scores / scores.sum(1, keepdims=True) @ v[:, own])
        x = x + linear(np.concatenate(joined, 1), f"layers.{i}.self_attn.out_proj")
        hidden = gelu(linear(norm(x, f"layers.{i}.final_layer_norm"), f"layers.{i}.fc1"))
        x = x + linear(hidden, f"layers.{i}.fc2")
        after.append(x)
    return after


@pytest.fixture
def checkpoint(tmp_path):
    """A file as OpenAI publishes them, of a tiny size: encoder in 16 bits, with what Thymos has no use for."""
    random = torch.Generator().manual_seed(0)
    settings = LayerSettings(layers=3, width=64, heads=1, hidden=48, positions=40)
    state = {
        PREFIX + name: (torch.randn(value.shape, generator=random) * 0.2).half()
        for name, value in WhisperLayers(settings).state_dict().items()
    }
    state[PREFIX + "layer_norm.weight"] = state[PREFIX + "layer_norm.bias"] = torch.ones(64).half()
    state["model.decoder.embed_tokens.weight"] = torch.ones(3, 64).half()
    save_file({name: value.clone() for name, value in state.items()}, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors", {
        name.removeprefix(PREFIX): value.double().numpy() for name, value in state.items()
    }


def test_states_are_whispers(checkpoint):
    file, weights = checkpoint
    layers = read_whisper_layers(file, 2)
    log_mels = torch.randn(1, N_MELS, 31, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        states, own = layers(log_mels, torch.tensor([31]))
    assert own.tolist() == [[True] * 16]
    for ours, plain in zip(states, plain_states(weights, log_mels[0].double().numpy(), 2, 1), strict=True):
        np.testing.assert_allclose(ours[0], plain, atol=2e-4)


def test_heads_are_apart(tiny_layers):
    layers = tiny_layers()
    weights = {name: value.double().numpy() for name, value in layers.state_dict().items()}
    log_mels = torch.randn(1, N_MELS, 20, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        states, _ = layers(log_mels, torch.tensor([20]))
    for ours, plain in zip(states, plain_states(weights, log_mels[0].double().numpy(), 3, 2), strict=True):
        np.testing.assert_allclose(ours[0], plain, atol=2e-5)


def test_a_clip_is_the_same_alone_and_in_a_batch(tiny_layers):
    layers = tiny_layers()
    log_mels = torch.randn(3, N_MELS, 50, generator=torch.Generator().manual_seed(2))
    frames = torch.tensor([50, 31, 1])
    with torch.inference_mode():
        together, own = layers(log_mels, frames)
        assert own.sum(1).tolist() == [25, 16, 1]
        for clip, n in enumerate(frames.tolist()):
            alone, _ = layers(log_mels[clip : clip + 1, :, :n], torch.tensor([n]))
            for after, before in zip(together, alone, strict=True):
                torch.testing.assert_close(after[clip, : (n + 1) // 2], before[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("content", "n_layers"), [(b"no checkpoint", 1), (None, 4)])
def test_other_files_are_refused(checkpoint, content, n_layers):
    file, _ = checkpoint
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RecipeError):
        read_whisper_layers(file, n_layers)
