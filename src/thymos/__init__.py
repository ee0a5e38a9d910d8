"""Thymos: which emotion is heard in a recording, where, and how sure; and the bench on which such models are judged."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thymos.recognition.prediction import Prediction as Prediction
    from thymos.recognition.prediction import Timeline as Timeline
    from thymos.recognition.recognizer import Recognizer as Recognizer
    from thymos.recognition.recognizer import load as load

__all__ = ["Prediction", "Recognizer", "Timeline", "__version__", "load", "predict"]

_HOMES = {
    "load": "thymos.recognition.recognizer",
    "Recognizer": "thymos.recognition.recognizer",
    "Prediction": "thymos.recognition.prediction",
    "Timeline": "thymos.recognition.prediction",
}


def predict(source: Any, model: Any = None) -> "Prediction":
    """Return what is heard in one recording: for many, ``load`` once and call the recogniser's own ``predict``.

    Raises:
        AudioError: the recording cannot be read.
        BundleError: there is no model, or it cannot be used.
    """
    from thymos.recognition.recognizer import load

    return load(model).predict(source)


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for, so that importing Thymos takes no time."""
    import importlib

    if name == "__version__":
        from importlib.metadata import version

        return version("thymos")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'thymos' has no attribute {name!r}")
