"""The errors that Thymos raises on purpose. Each carries one sentence that a user can act on.

They are also what Python's users expect: what is not there is a ``FileNotFoundError``, what is wrong in itself a
``ValueError``, a library that is not installed an ``ImportError``.
"""

from typing import Self


class ThymosError(Exception):
    """Anything wrong with what Thymos was given, rather than with Thymos."""


class ThymosWarning(UserWarning):
    """What goes otherwise than a user may expect, and needs no answer: one sentence, too."""


class TelemetryWarning(ThymosWarning):
    """A library of this program sends usage data, which Thymos is too late to stop."""


class AbsentError(ThymosError, FileNotFoundError):
    """What was named is not there."""


class ArgumentError(ThymosError, ValueError):
    """A function, or a command, was called in a way that cannot be."""


class AudioError(ThymosError, ValueError):
    """A sound cannot be read, or is larger than its bounds allow.

    Attributes:
        reason: what is wrong, in words that follow a name: "is empty (0 bytes)".
        name: of the recording; None where whoever caught the error knows it. ``str`` of the error begins with it.
    """

    name: str | None = None

    @property
    def reason(self) -> str:
        """What is wrong, without the recording's name."""
        return str(self.args[0]) if self.args else ""

    def of(self, name: str) -> Self:
        """Return the error, told of the recording ``name``."""
        self.name = name
        return self

    def __str__(self) -> str:
        return self.reason if self.name is None else f"{self.name} {self.reason}"


class AudioFileError(AudioError, OSError):
    """A file of sound cannot be opened, or not be read to its end."""


class AudioAbsentError(AudioFileError, AbsentError):
    """There is no such file of sound."""


class UnexpectedError(AudioError):
    """Hearing a recording ended in an error that Thymos does not know: the recording's fault, the machine's or ours."""


class TooLongError(AudioError):
    """A recording is longer than is heard."""


class CorpusError(ThymosError, ValueError):
    """A folder or table cannot be read as a corpus."""


class CorpusAbsentError(CorpusError, AbsentError):
    """There is no such folder or table."""


class ProtocolError(ThymosError, ValueError):
    """A protocol cannot be applied to this corpus."""


class LeakageError(ProtocolError):
    """Something that must stay on one side of a fold is on both."""


class RecipeError(ThymosError, ValueError):
    """A recipe or a study file is wrong: an unknown key, a bad value, a file that cannot be parsed."""


class TrainingError(ThymosError, ArithmeticError):
    """Training went wrong, as it can with too high a learning rate."""


class RunError(ThymosError, ValueError):
    """A run folder cannot be used: it belongs to another run, or is damaged."""


class EngineError(ThymosError, RuntimeError):
    """A cluster cannot be joined, or its machines do not suit what is to be done."""


class BundleError(ThymosError, ValueError):
    """A model's files cannot be used: not there, changed, cut off, or of another format."""


class BundleAbsentError(BundleError, AbsentError):
    """There is no such model."""


class FigureFormatError(ThymosError, ValueError):
    """Figures are not written as what was asked for."""


class MissingExtraError(ThymosError, ImportError):
    """A library of an optional extra is not installed."""
