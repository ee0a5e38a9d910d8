"""``thymos show``: one sound as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thymos.errors import AudioError, ThymosError

LARGEST_DECODED_BYTES = 512 << 20
"""50 minutes of mono sound at 44 100 Hz: beyond that one picture shows nothing, and takes gigabytes."""


def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A sound file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PNG", help="Where to write. Default: FILE's name with .show.png, here."),
    ] = None,
) -> None:
    """Draw waveform, spectrogram, mel spectrogram and mel scale of a sound as a PNG."""
    from thymos.cli.console import console

    path = draw(file, out)
    console.print(str(path), markup=False, highlight=False, soft_wrap=True)


def draw(file: Path, out: Path | None = None) -> Path:
    """Draw the sound in ``file`` and return where the picture was written.

    Raises:
        ThymosError: ``out`` does not end in .png.
        AudioError: the file cannot be read, or would take more than 512 MiB once decoded.
    """
    from thymos.audio.decode import Limits, read_waveform_and_info
    from thymos.corpora.findings import channels_name

    out = out or Path(f"{file.stem}.show.png")
    if out.suffix.lower() != ".png":
        raise ThymosError(f"{out}: pictures are written as PNG, so the name must end in .png")
    try:
        waveform, info = read_waveform_and_info(file, Limits(max_decoded_bytes=LARGEST_DECODED_BYTES))
    except AudioError as error:
        raise AudioError(f"{file}: {error}") from None
    from thymos.reports.figures import save_figure
    from thymos.reports.sound_figure import sound_figure

    detail = f"{channels_name(info.channels)} · {info.format}"
    save_figure(sound_figure(waveform, file.name, detail), out.with_suffix(""), [out.suffix.removeprefix(".")])
    return out
