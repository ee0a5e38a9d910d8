"""``thymos show``: a figure of one sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thymos.cli.console import FiguresOption


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
