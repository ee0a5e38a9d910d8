"""Network families by name. A family is one class of settings and the network that they build."""

from torch import nn

from thymos.models.study_cnn import StudyCNN, StudyCNNSettings

ModelSettings = StudyCNNSettings


def build_model(settings: ModelSettings, picture_shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """Return a freshly initialised network; torch's random state decides the weights.

    Args:
        settings: which family, and how large.
        picture_shape: channels, bands, frames.
        n_classes: number of logits.

    Raises:
        ValueError: the picture is too small for so many pooling steps.
    """
    return StudyCNN(settings, picture_shape, n_classes)
