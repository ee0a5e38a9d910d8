"""Thymos: which emotion is heard in a recording, where, and how sure; and the bench on which such models are judged."""

import os
import sys
from typing import TYPE_CHECKING, Any

# Since 1.29 onnxruntime writes a device id and sends events to its maker, and reads this once, as it is imported. So it
# stands here, before any module of ours can import it: of the library, the commands and their workers.
if not os.environ.get("ORT_DISABLE_TELEMETRY"):  # else the user has decided
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    if "onnxruntime" in sys.modules:  # which has begun to send, and can only be told to say no more
        import warnings

        from thymos.errors import TelemetryWarning

        sys.modules["onnxruntime"].disable_telemetry_events()
        warnings.warn(
            "onnxruntime was imported before thymos, and since 1.29 sends usage data to its maker: import thymos first,"
            " or set ORT_DISABLE_TELEMETRY=1",
            TelemetryWarning,
            stacklevel=2,
        )

if TYPE_CHECKING:
    from thymos.corpora.audit import Audit as Audit
    from thymos.corpora.opening import open_corpus as open_corpus
    from thymos.corpora.table import Clip as Clip
    from thymos.corpora.table import Corpus as Corpus
    from thymos.errors import AudioError as AudioError
    from thymos.errors import BundleError as BundleError
    from thymos.errors import CorpusError as CorpusError
    from thymos.errors import LeakageError as LeakageError
    from thymos.errors import MissingExtraError as MissingExtraError
    from thymos.errors import ProtocolError as ProtocolError
    from thymos.errors import RecipeError as RecipeError
    from thymos.errors import RunError as RunError
    from thymos.errors import ThymosError as ThymosError
    from thymos.errors import TrainingError as TrainingError
    from thymos.evaluation.evaluate import evaluate as evaluate
    from thymos.evaluation.nested_search import search as search
    from thymos.evaluation.study import study as study
    from thymos.evaluation.train import TrainedModel as TrainedModel
    from thymos.evaluation.train import train as train
    from thymos.experiment import Experiment as Experiment
    from thymos.experiment import Fitted as Fitted
    from thymos.experiment import Scores as Scores
    from thymos.experiment import TrainingPart as TrainingPart
    from thymos.experiment import Work as Work
    from thymos.reports.audit_report import audit as audit
    from thymos.runtime.adaptation import Voice as Voice
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
    from thymos.scoring.comparison import ComparisonTable as ComparisonTable
    from thymos.scoring.comparison import compare as compare
    from thymos.scoring.paired import FinishedRun as FinishedRun

__all__ = [
    "AudioError",
    "Audit",
    "BundleError",
    "Clip",
    "ComparisonTable",
    "Corpus",
    "CorpusError",
    "Experiment",
    "Explanation",
    "Failure",
    "FinishedRun",
    "Fitted",
    "Flag",
    "LeakageError",
    "MissingExtraError",
    "Prediction",
    "ProtocolError",
    "RecipeError",
    "Recognizer",
    "RunError",
    "Scores",
    "Stream",
    "Stretch",
    "ThymosError",
    "Timeline",
    "TrainedModel",
    "TrainingError",
    "TrainingPart",
    "Voice",
    "Window",
    "Work",
    "__version__",
    "audit",
    "compare",
    "evaluate",
    "load",
    "open_corpus",
    "predict",
    "search",
    "study",
    "train",
]

_HOMES = {
    "thymos.corpora.audit": ("Audit",),
    "thymos.reports.audit_report": ("audit",),
    "thymos.corpora.opening": ("open_corpus",),
    "thymos.corpora.table": ("Clip", "Corpus"),
    "thymos.errors": (
        "AudioError",
        "BundleError",
        "CorpusError",
        "LeakageError",
        "MissingExtraError",
        "ProtocolError",
        "RecipeError",
        "RunError",
        "ThymosError",
        "TrainingError",
    ),
    "thymos.evaluation.evaluate": ("evaluate",),
    "thymos.evaluation.nested_search": ("search",),
    "thymos.evaluation.study": ("study",),
    "thymos.evaluation.train": ("TrainedModel", "train"),
    "thymos.experiment": ("Experiment", "Fitted", "Scores", "TrainingPart", "Work"),
    "thymos.runtime.explain": ("Explanation",),
    "thymos.runtime.prediction": ("Failure", "Flag", "Prediction", "Stretch", "Timeline", "Window"),
    "thymos.runtime.recognizer": ("Recognizer", "load"),
    "thymos.runtime.stream": ("Stream",),
    "thymos.runtime.adaptation": ("Voice",),
    "thymos.scoring.comparison": ("ComparisonTable", "compare"),
    "thymos.scoring.paired": ("FinishedRun",),
}
"""Module of each name. What trains and judges needs ``pip install 'thymos[train]'``; what hears does not."""


def predict(source: Any, model: Any = None, labels: Any = None) -> "Prediction":
    """Return what is heard in one recording: for many, ``load`` once and call the recogniser's own ``predict``.

    Raises:
        AudioError: the recording cannot be read.
        BundleError: there is no model, or it cannot be used.
        ThymosError: ``labels`` are given, and the model cannot choose among them.
    """
    from thymos.runtime.recognizer import load

    return load(model).predict(source, labels=labels)


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for, so that importing Thymos takes no time.

    Raises:
        AttributeError: there is no such name.
        MissingExtraError: it needs a library that is not installed.
    """
    import importlib

    if name == "__version__":
        from importlib.metadata import version

        return version("thymos")
    for home, names in _HOMES.items():
        if name not in names:
            continue
        try:
            return getattr(importlib.import_module(home), name)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("thymos"):
                raise
            from thymos.errors import MissingExtraError

            wanted = f"thymos.{name} needs the library {error.name}"
            raise MissingExtraError(f"{wanted}: pip install 'thymos[train]'") from None
    raise AttributeError(f"module 'thymos' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what there is before it is imported, for completion."""
    return sorted({*globals(), *__all__})
