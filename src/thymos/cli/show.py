"""Figures of sounds: of one, by ``thymos show``; and why an emotion was heard, by ``thymos predict --explain``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thymos.cli.console import FiguresOption, say
from thymos.errors import AudioError, MissingExtraError

if TYPE_CHECKING:
    from thymos.cli.inputs import NamedRecording
    from thymos.runtime.recognizer import Recognizer


def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A sound file.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="PATH", help="Where to write, as .png, .pdf or .svg. Default: FILE.show.png, here."
        ),
    ] = None,
    figures: FiguresOption = "",
) -> None:
    """Draw waveform, spectrogram, mel spectrogram and mel scale of a sound.

    Exits with 1 if it cannot be read.
    """
    from thymos.cli.console import say, tell
    from thymos.errors import AudioError
    from thymos.files import figure_formats
    from thymos.reports.sound_figure import draw_sound

    formats = figure_formats(figures) if figures else ()
    try:
        drawn = draw_sound(file, out, formats)
    except AudioError as error:  # an input that cannot be used, as `predict` counts it
        say(f"thymos: {error}")
        raise typer.Exit(1) from None
    for path in drawn:
        tell(str(path))


def explanations_drawn(folder: Path, formats: Sequence[str]) -> Callable[[Recognizer, NamedRecording], None]:
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

    def draw(recognizer: Recognizer, recording: NamedRecording) -> None:
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
