"""An encoder's weights as its graph multiplies by them, and back: products side by side, and in integers of 8 bits.

Every product's matrix lies as ``(inputs, outputs)``: queries, keys and values, which are made of one input, beside each
other, and convolutions as what they do to the frames that they see. In 8 bits each output has a scale of its own.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Packed = dict[str, NDArray[Any]]
"""Weights by name, as files keep them."""

JOINED = "qkv"
SCALE = ".scale"
"""Follows the name of a matrix of 8-bit integers: what an integer of each of its columns stands for, in float32."""
_LARGEST = 64
"""Of 8 bits, weights take 7: on processors without VNNI the sums of two products would else be cut off, and answers
differ from machine to machine."""
_CONVOLUTION = re.compile(r"layers\.conv[12]\.weight")
_PRODUCT = re.compile(r"(layers\.layers\.\d+\.(self_attn\.out_proj|fc[12])|pooling\.attention\.0)\.weight")
_QUERIES = re.compile(r"(layers\.layers\.\d+\.self_attn\.)q_proj\.weight")
_JOINED = re.compile(r"(layers\.layers\.\d+\.self_attn\.)qkv\.weight")
_PARTS = ("q_proj", "k_proj", "v_proj")


def pack(state: Mapping[str, Tensor], int8: bool) -> Packed:
    """Return the weights of an ``EmotionNetwork``, or of its ``layers`` alone, as the graph takes them.

    Args:
        state: as torch names it.
        int8: whether matrices of products are rounded to integers of 8 bits; else they are kept in float16.
    """
    values = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
    packed: Packed = {}
    matrices: dict[str, NDArray[Any]] = {}
    for name, value in values.items():
        if match := _QUERIES.fullmatch(name):
            own = match[1]
            matrices[f"{own}{JOINED}.weight"] = np.concatenate([values[f"{own}{part}.weight"] for part in _PARTS]).T
            queries, rest = values[f"{own}q_proj.bias"], values[f"{own}v_proj.bias"]
            packed[f"{own}{JOINED}.bias"] = np.concatenate([queries, np.zeros_like(queries), rest])
        elif _CONVOLUTION.fullmatch(name):
            matrices[name] = value.transpose(2, 1, 0).reshape(-1, len(value))
        elif _PRODUCT.fullmatch(name):
            matrices[name] = value.T
        elif ".self_attn." not in name or ".out_proj." in name:
            packed[name] = value
    for name, matrix in matrices.items():
        if int8:
            packed[name], packed[name + SCALE] = _rounded(matrix.astype(np.float32))
        else:
            packed[name] = matrix
    halved = {name: _halved(value) for name, value in packed.items() if not name.endswith(SCALE)}
    return {name: np.array(value, order="C") for name, value in (packed | halved).items()}


def unpack(packed: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Return the state that ``pack`` was given, as far as it kept it, in float32."""
    state: dict[str, NDArray[Any]] = {}
    for name, value in packed.items():
        if name.endswith(SCALE):
            continue
        if name + SCALE in packed:
            if packed[name + SCALE].shape != value.shape[1:]:
                raise ValueError(f"{name} has a scale of another shape")
            value = value.astype(np.float32) * packed[name + SCALE]
        if match := _JOINED.fullmatch(name):
            parts = np.split(value.T, 3)
            state |= {f"{match[1]}{part}.weight": own for part, own in zip(_PARTS, parts, strict=True)}
        elif name.endswith(f".{JOINED}.bias"):
            own = name.removesuffix(f"{JOINED}.bias")
            state[f"{own}q_proj.bias"], _, state[f"{own}v_proj.bias"] = np.split(value, 3)
        elif _CONVOLUTION.fullmatch(name):
            state[name] = value.reshape(3, -1, value.shape[1]).transpose(2, 1, 0)
        else:
            state[name] = value.T if _PRODUCT.fullmatch(name) else value
    return {name: torch.from_numpy(np.array(_widened(value), order="C")) for name, value in state.items()}


def _rounded(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    scale = np.maximum(np.abs(matrix).max(0), np.finfo(np.float32).tiny) / np.float32(_LARGEST)
    return np.round(matrix / scale).astype(np.int8), scale.astype(np.float32)


def _halved(value: NDArray[Any]) -> NDArray[Any]:
    return value.astype(np.float16) if value.dtype.kind == "f" else value


def _widened(value: NDArray[Any]) -> NDArray[Any]:
    return value.astype(np.float32) if value.dtype.kind == "f" else value
