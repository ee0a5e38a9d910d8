"""``thymos show``: a figure of one sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A sound file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PNG", help="Where to write. Default: FILE's name with .show.png, here."),
    ] = None,
) -> None:
    """Draw waveform, spectrogram, mel spectrogram and mel scale of a sound as a PNG."""
    from thymos.cli.console import tell
    from thymos.reports.sound_figure import draw_sound

    tell(str(draw_sound(file, out)))
