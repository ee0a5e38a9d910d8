"""Weights come back as they were packed: exactly in float16, and within half a step of 7 bits in 8-bit integers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from thymos.encoder.packed import SCALE, pack, unpack
from thymos.encoder.weights import read_encoder


@pytest.fixture(scope="module")
def state(toy_encoder: Path) -> dict[str, torch.Tensor]:
    """What a float16 file holds, in float32."""
    state = read_encoder(toy_encoder).network.state_dict()
    return {name: value.half().float() if value.is_floating_point() else value for name, value in state.items()}


def test_in_float16_nothing_is_lost(state: dict[str, torch.Tensor]) -> None:
    again = unpack(pack(state, int8=False))
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], value) for name, value in state.items())


def test_in_8_bits_a_weight_is_off_by_half_a_step_of_its_column(state: dict[str, torch.Tensor]) -> None:
    packed = pack(state, int8=True)
    again = unpack(packed)
    rounded = [name for name in packed if name + SCALE in packed]
    assert len(rounded) == 2 + 4 * 2 + 1
    assert all(np.abs(packed[name].astype(int)).max() == 64 for name in rounded)
    off = state["layers.layers.1.fc1.weight"] - again["layers.layers.1.fc1.weight"]
    largest = state["layers.layers.1.fc1.weight"].abs().amax(1, keepdim=True)
    assert off.abs().max() > 0 and bool((off.abs() <= largest / 64 * 0.5001).all())
    assert torch.equal(again["layers.layers.1.fc1.bias"], state["layers.layers.1.fc1.bias"])


def test_what_was_rounded_is_rounded_to_the_same_again(state: dict[str, torch.Tensor]) -> None:
    once = pack(state, int8=True)
    twice = pack(unpack(once), int8=True)
    assert all(np.array_equal(once[name], twice[name]) for name in once if not name.endswith(SCALE))


def test_a_product_with_packed_queries_keys_and_values_is_the_three_products(
    state: dict[str, torch.Tensor], make_input: Callable[[int], torch.Tensor]
) -> None:
    own = "layers.layers.0.self_attn."
    packed = pack(state, int8=False)
    joined = torch.from_numpy(packed[own + "qkv.weight"].astype(np.float32))
    values = make_input(len(joined))
    apart = [
        torch.nn.functional.linear(values, state[f"{own}{part}.weight"]) for part in ("q_proj", "k_proj", "v_proj")
    ]
    torch.testing.assert_close(values @ joined, torch.cat(apart, dim=1))


@pytest.fixture
def make_input() -> Callable[[int], torch.Tensor]:
    return lambda width: torch.linspace(-1, 1, 3 * width).reshape(3, width)
