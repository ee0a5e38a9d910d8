"""Thymos: which emotion is heard in a recording, where, and how sure; and the bench on which such models are judged."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thymos.errors import AudioError as AudioError
    from thymos.errors import BundleError as BundleError
    from thymos.errors import MissingExtraError as MissingExtraError
    from thymos.errors import ThymosError as ThymosError
    from thymos.runtime.explain import Explanation as Explanation
    from thymos.runtime.prediction import Failure as Failure
    from thymos.runtime.prediction import Flag as Flag
    from thymos.runtime.prediction import Prediction as Prediction
    from thymos.runtime.prediction import Stretch as Stretch
    from thymos.runtime.prediction import Timeline as Timeline
    from thymos.runtime.prediction import Window as Window
    from thymos.runtime.recognizer import Recognizer as Recognizer
    from thymos.runtime.recognizer import load as load
    from thymos.runtime.stream import Stream as Stream

__all__ = [
    "AudioError",
    "BundleError",
    "Explanation",
    "Failure",
    "Flag",
    "MissingExtraError",
    "Prediction",
    "Recognizer",
    "Stream",
    "Stretch",
    "ThymosError",
    "Timeline",
    "Window",
    "__version__",
    "load",
    "predict",
]

_HOMES = {
    "thymos.errors": ("AudioError", "BundleError", "MissingExtraError", "ThymosError"),
    "thymos.runtime.explain": ("Explanation",),
    "thymos.runtime.prediction": ("Failure", "Flag", "Prediction", "Stretch", "Timeline", "Window"),
    "thymos.runtime.recognizer": ("Recognizer", "load"),
    "thymos.runtime.stream": ("Stream",),
}


def predict(source: Any, model: Any = None) -> "Prediction":
    """Return what is heard in one recording: for many, ``load`` once and call the recogniser's own ``predict``.

    Raises:
        AudioError: the recording cannot be read.
        BundleError: there is no model, or it cannot be used.
    """
    from thymos.runtime.recognizer import load

    return load(model).predict(source)


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for, so that importing Thymos takes no time."""
    import importlib

    if name == "__version__":
        from importlib.metadata import version

        return version("thymos")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'thymos' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what there is before it is imported, for completion."""
    return sorted({*globals(), *__all__})
