"""The errors that Thymos raises on purpose. Each carries one sentence that a user can act on."""


class ThymosError(Exception):
    """Anything wrong with what Thymos was given, rather than with Thymos."""


class AudioError(ThymosError):
    """A sound cannot be read, or is larger than its bounds allow."""


class CorpusError(ThymosError):
    """A folder or table cannot be read as a corpus."""


class ProtocolError(ThymosError):
    """A protocol cannot be applied to this corpus."""


class LeakageError(ProtocolError):
    """Something that must stay on one side of a fold is on both."""


class RecipeError(ThymosError):
    """A recipe or a study file is wrong: an unknown key, a bad value, a file that cannot be parsed."""


class TrainingError(ThymosError):
    """Training went wrong, as it can with too high a learning rate."""


class RunError(ThymosError):
    """A run folder cannot be used: it belongs to another run, or is damaged."""


class BundleError(ThymosError):
    """A model's files cannot be used: not there, changed, cut off, or of another format."""


class MissingExtraError(ThymosError):
    """A library of an optional extra is not installed."""
