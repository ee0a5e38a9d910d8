"""The figures of ``predict --explain``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thymos.cli.console import say
from thymos.errors import AudioError, MissingExtraError

if TYPE_CHECKING:
    from thymos.cli.inputs import NamedRecording
    from thymos.runtime.recognizer import Recognizer


def explanations_drawn(folder: Path, formats: Sequence[str]) -> "Callable[[Recognizer, NamedRecording], None]":
    """Return what draws the explanation of a recording into ``folder``, and says where.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from thymos.reports.explanation_figure import write_explanation
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise
        raise MissingExtraError("--explain draws by matplotlib: pip install 'thymos[plots]'") from None
    drawn: set[Path] = set()

    def draw(recognizer: "Recognizer", recording: "NamedRecording") -> None:
        stem, number = folder / f"{recording.inside}.explain", 1
        while stem in drawn:  # another folder's file of the same name
            number += 1
            stem = folder / f"{recording.inside}.{number}.explain"
        try:
            source: Any = recording.source
            explanation = recognizer.explain(source)
        except AudioError as error:
            say(f"not explained: {recording.name} {error.reason}", "yellow")
            return
        drawn.add(stem)
        name = (recording.path or recording.inside).name
        paths = ", ".join(map(str, write_explanation(explanation, name, stem, formats)))
        say(f"{recording.name}: {explanation}; drawn: {paths}")

    return draw
