"""Encoders that somebody made to fill the memory, to hang or to be no numbers: one sentence each, before anything."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from thymos.corpora import open_corpus
from thymos.encoder.weights import ABOUT, HEARD, WEIGHTS, read_encoder
from thymos.errors import RecipeError

Tensors = dict[str, Any]


@pytest.fixture
def copy(toy_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy_encoder, tmp_path / "copy"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("layers", {"width": 1 << 20}),
        ("layers", {"layers": 1 << 20}),
        ("layers", {"positions": 1 << 40}),
        ("layers", {"heads": 7}),
        ("pooling", {"embedding": 1 << 40}),
        ("pooling", 3),
        ("labels", 3),
        ("labels", ["x"] * 10_000_000),
        ("sha256", [1]),
    ],
)
def test_settings_that_do_not_fit_the_weights_take_no_memory(copy: Path, part: str, changes: Any) -> None:
    about = json.loads((copy / ABOUT).read_text())
    about[part] = about[part] | changes if isinstance(changes, dict) else changes
    (copy / ABOUT).write_text(json.dumps(about))
    with pytest.raises(RecipeError) as caught:
        read_encoder(copy)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_weights_that_are_no_numbers_or_of_odd_shapes_are_refused(copy: Path) -> None:
    def write(tensors: Tensors) -> None:
        save_file(tensors, copy / WEIGHTS)
        about = json.loads((copy / ABOUT).read_text())
        about["sha256"][WEIGHTS] = hashlib.sha256((copy / WEIGHTS).read_bytes()).hexdigest()
        (copy / ABOUT).write_text(json.dumps(about))

    tensors = load_file(copy / WEIGHTS)
    name = next(name for name, value in tensors.items() if value.ndim == 2 and value.dtype == np.float16)
    write(tensors | {name: np.full_like(tensors[name], np.nan)})
    with pytest.raises(RecipeError, match="no numbers"):
        read_encoder(copy)
    # Broadcast, they would take 40 GB.
    write(tensors | {name: np.zeros((100_000, 1), np.int8), f"{name}.scale": np.zeros((1, 100_000), np.float32)})
    with pytest.raises(RecipeError, match="scale of another shape"):
        read_encoder(copy)


@pytest.mark.parametrize("name", [ABOUT, WEIGHTS])
def test_what_is_no_regular_file_is_not_waited_for(copy: Path, name: str) -> None:
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(RecipeError, match="no regular file"):
        read_encoder(copy)
    (copy / name).unlink()
    (copy / name).symlink_to("/dev/zero")
    with pytest.raises(RecipeError, match="no regular file"):
        read_encoder(copy)


def test_json_nested_too_deeply_is_one_sentence(copy: Path) -> None:
    (copy / ABOUT).write_text("[" * 100_000)
    with pytest.raises(RecipeError, match="is damaged"):
        read_encoder(copy)


@pytest.mark.slow
def test_fingerprints_of_what_was_heard_are_read_with_care(
    mini: Path, write_toy_encoder: Callable[..., Path], tmp_path: Path
) -> None:
    clips = open_corpus(mini, cache_dir=tmp_path / "cache").clips[:3]
    copy = Path(shutil.copytree(write_toy_encoder("hostile", heard=clips), tmp_path / "copy"))
    assert len(read_encoder(copy).heard) == 3
    arrays = load_file(copy / HEARD)
    changes: list[Tensors] = [
        {"lengths": np.full(3, 2**32 - 1, np.uint32)},  # they would take 48 GB
        {"lengths": arrays["lengths"].astype(np.float32)},
        {"words": arrays["words"][:-1]},
        {"words": arrays["words"].astype(np.int64)},
        {"told": arrays["told"][:-1]},
        {"version": arrays["version"] + 1},
    ]
    for changed in (*(arrays | change for change in changes), {"words": arrays["words"]}):
        save_file(changed, copy / HEARD)
        with pytest.raises(RecipeError, match="SHA-256 differs"):
            read_encoder(copy)
        about = json.loads((copy / ABOUT).read_text())
        about["sha256"][HEARD] = hashlib.sha256((copy / HEARD).read_bytes()).hexdigest()
        (copy / ABOUT).write_text(json.dumps(about))
        with pytest.raises(RecipeError, match="tells what the encoder has heard, cannot be read") as caught:
            read_encoder(copy)
        assert "\n" not in str(caught.value)
    (copy / HEARD).unlink()
    with pytest.raises(RecipeError, match="cannot be read: No such file"):
        read_encoder(copy)
