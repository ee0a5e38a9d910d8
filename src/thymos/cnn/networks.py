"""Network families by name. A family is one class of settings and the network that they build."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from torch import nn

from thymos.cnn.recurrent import RecurrentNetwork, RecurrentSettings
from thymos.cnn.residual import ResidualNetwork, ResidualSettings
from thymos.cnn.study_cnn import StudyCNN, StudyCNNSettings


def _study_cnn_unless_named(content: Any) -> Any:
    return {"family": "study_cnn", **content} if isinstance(content, dict) else content


ModelSettings = Annotated[
    StudyCNNSettings | ResidualSettings | RecurrentSettings,
    Field(discriminator="family"),
    BeforeValidator(_study_cnn_unless_named),
]
"""The settings of any family; ``family`` tells which."""


def build_model(settings: ModelSettings, picture_shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """Return a freshly initialised network; torch's random state decides the weights.

    Args:
        settings: which family, and how large.
        picture_shape: channels, bands, frames.
        n_classes: number of logits.

    Raises:
        ValueError: the picture is too small for so many pooling steps.
    """
    match settings:
        case StudyCNNSettings():
            return StudyCNN(settings, picture_shape, n_classes)
        case ResidualSettings():
            return ResidualNetwork(settings, picture_shape, n_classes)
        case RecurrentSettings():
            return RecurrentNetwork(settings, picture_shape, n_classes)
