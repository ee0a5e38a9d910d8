"""The models that a server offers, by the names that a request may call them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thymos.config import nearest
from thymos.errors import BundleError
from thymos.runtime.bundle import ENVIRONMENT, About, find_bundle, read_about, shipped_models
from thymos.serving.problems import ProblemError


@dataclass(frozen=True)
class ServedModel:
    """A model that a server offers.

    Attributes:
        name: that a request calls it by: of the shipped model, or of the folder.
        folder: where it lies.
        about: what it says of itself.
    """

    name: str
    folder: Path
    about: About

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``GET /v1/models`` tells it: all that a user of its answers should know, and no path."""
        about = self.about
        return {
            "name": self.name,
            "model": f"{about.name} {about.version}",
            "labels": list(about.labels),
            "dimensions": list(about.dimensions),
            "rate_hz": about.rate_hz,
            "window_s": about.window_s,
            "hop_s": about.hop_s,
            "parameters": about.parameters,
            "licence": about.licence,
            "coverage": None if about.conformal is None else about.conformal.coverage,
            "can_adapt": about.adaptation is not None,
            "trained_on": about.trained_on,
            "scores": about.scores,
            "sha256": about.sha256,
        }


def served_models(given: Sequence[str] | None) -> list[ServedModel]:
    """Return the models to offer, the default first: those ``given``, or ``THYMOS_MODEL`` and those that come along.

    Raises:
        BundleError: one is no model, or tells no emotions.
    """
    named = os.environ.get(ENVIRONMENT)
    found: dict[str, ServedModel] = {}
    for word in given or [*([named] if named else []), *shipped_models()]:
        folder = find_bundle(word).resolve()
        if any(model.folder == folder for model in found.values()):
            continue
        name, number = folder.name, 1
        while name in found:  # another folder of the same name
            number += 1
            name = f"{folder.name}-{number}"
        about = read_about(folder)
        if not about.labels:
            raise BundleError(f"{folder} reads dimensions and tells no emotions, which the server is for")
        found[name] = ServedModel(name, folder, about)
    if not found:
        find_bundle()  # raises what there is to say
    return list(found.values())


def find_model(models: Sequence[ServedModel], name: str | None) -> ServedModel:
    """Return the model that a request calls ``name``; None: the default.

    Raises:
        ProblemError: there is none.
    """
    if name is None:
        return models[0]
    names = {model.name: model for model in models}
    if name not in names:
        raise ProblemError(400, f"there is no model {name[:60]!r} here{nearest(name, list(names))}")
    return names[name]
