"""A fitted model on disk: ``weights.safetensors`` and ``model.json``. Nothing in it is executed or unpickled."""

import hashlib
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from thymos.files import whole_file, write_json

FORMAT = 1


def write_bundle(folder: Path, model: nn.Module, about: dict[str, Any]) -> None:
    """Write ``model`` to ``folder``, with ``about`` (labels, recipe, corpora …) as ``model.json``.

    ``model.json`` is written last and holds the weights' SHA-256: a folder that has it is whole.
    """
    about_file = folder / "model.json"
    about_file.unlink(missing_ok=True)  # an earlier model's, which would not fit these weights
    weights = folder / "weights.safetensors"
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with whole_file(weights) as temporary:
        save_file(state, temporary)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    write_json(
        about_file,
        {"format": FORMAT, **about, "parameters": parameters, "sha256": {weights.name: digest}},
    )
