"""``thymos voices``: which voices are known; and forget one."""

from typing import Annotated

import typer
from rich.table import Table

from thymos.cli.console import VoicesOption, console, notes, say, shown, tell
from thymos.errors import BundleError


def voices(
    folder: VoicesOption = None,
    forget: Annotated[str | None, typer.Option(metavar="NAME", help="Delete what is known of this voice.")] = None,
) -> None:
    """Say which voices are known, by which model and how well; with --forget, delete one."""
    from thymos.runtime.voice import find_voice, read_voice, voice_path, voices_folder

    if forget is not None:
        path = voice_path(forget, folder)
        if not path.is_file():
            find_voice(forget, folder)  # says so, and which are known
        path.unlink()
        tell(f"forgotten: {path}")
        return
    place = folder or voices_folder()
    table = Table("voice", "model")
    table.add_column("clips", justify="right")
    table.add_column("speech", justify="right")
    failures = 0
    for path in sorted(place.glob("*.json")):
        try:
            voice = read_voice(path)
        except BundleError as error:
            failures += 1
            notes.print(f"[yellow]not usable:[/yellow] {shown(error)}", soft_wrap=True)
            continue
        clips = str(len(voice.coordinates))
        table.add_row(shown(path.stem), shown(voice.model), clips, f"{voice.speech_s:.1f} s")
    if table.row_count:
        console.print(table)
    elif not failures:
        say(f"no voice is known in {place}: `thymos enrol NAME FILES…` makes one")
    if failures:
        raise typer.Exit(1)
