"""What is got to know before anything is heard: ``thymos enrol`` a voice by some of its recordings; ``thymos voices``
that are known; ``thymos adapt`` a model to a room or line, which is taken out of everything that it hears.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from thymos.cli.console import ModelOption, QuietOption, VoicesOption, not_heard, progress, say, tell
from thymos.errors import BundleError

if TYPE_CHECKING:
    from thymos.runtime.adaptation import Voice
    from thymos.runtime.recognizer import Recognizer

from pathlib import Path

from rich.table import Table

from thymos.cli.console import console, notes, shown


def enrol(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose voice it is.")],
    paths: Annotated[
        list[str], typer.Argument(metavar="FILES…", help="Recordings of it, about ten, in whatever emotions; folders.")
    ],
    model: ModelOption = None,
    voices: VoicesOption = None,
    add: Annotated[bool, typer.Option("--add", help="The voice is known already: know it by these too.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Forget what is known of a voice of this name.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Get to know a voice, so that `predict --voice NAME` takes out what is its own; a few kB are kept, never sound.

    Nobody has to say in which emotions it is heard. Files that cannot be heard are named, and the exit code is then 1.
    """
    from thymos.runtime.adaptation import find_voice, voice_path
    from thymos.runtime.recognizer import load

    path = voice_path(name, voices)
    if add and replace:
        raise BundleError("--add keeps what is known of the voice, and --replace forgets it: give one of both")
    if path.exists() and not (add or replace):
        raise BundleError(f"the voice {name} is known already: --add knows it better, --replace begins anew")
    recognizer = load(model)
    earlier = find_voice(name, voices) if add else None
    recognizer.for_voice(earlier)  # of another model: known before anything is heard
    voice, failures = _known_by(recognizer, paths, name, quiet)
    if earlier is not None:
        voice = earlier.with_more(voice)
    voice.save(path)
    _end(recognizer, voice, name, f"kept: {path}", failures)


def _known_by(recognizer: "Recognizer", paths: list[str], name: str, quiet: bool) -> "tuple[Voice, int]":
    """Return what is known of a voice, room or line by recordings, and how many cannot be heard, which are named.

    Raises:
        BundleError: the model knows no voices.
        typer.Exit: no recording can be heard.
    """
    from thymos.cli.inputs import find_recordings
    from thymos.cli.rows import heard_in
    from thymos.runtime.prediction import Failure

    _ = recognizer.space
    recordings = find_recordings(paths, say)
    heard, failures = [], 0
    with progress(quiet) as bars:
        task = bars.add_task("Listening", total=len(recordings))
        for each in heard_in(recognizer, recordings):
            if isinstance(each, Failure):
                failures += 1
                not_heard(each.source, each.reason)
            else:
                heard.append(each)
            bars.advance(task)
    if not heard:
        raise typer.Exit(1)
    return recognizer.voice_of(heard, name), failures


def _describe_known(recognizer: "Recognizer", voice: "Voice") -> str:
    """Return by what a voice, room or line is known."""
    offset = voice.offset(recognizer.space)
    return f"{voice.name}: {offset.clips} clips, {voice.speech_s:.1f} s of speech, in {offset.variety:.1f} emotions"


def _end(recognizer: "Recognizer", known: "Voice", name: str, where: str, failures: int) -> None:
    """Say what is known, where it is kept and what is doubtful of it; exit with 1 if recordings could not be heard."""
    tell(f"{_describe_known(recognizer, known)}; {where}")
    for doubt in known.doubts(recognizer.space):
        say(f"{name}: {doubt}")
    if failures:
        raise typer.Exit(1)


def voices(
    folder: VoicesOption = None,
    forget: Annotated[str | None, typer.Option(metavar="NAME", help="Delete what is known of this voice.")] = None,
) -> None:
    """Say which voices are known, by which model and how well; with --forget, delete one."""
    from thymos.runtime.adaptation import find_voice, read_voice, voice_path, voices_folder

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


def adapt(
    paths: Annotated[
        list[str], typer.Argument(metavar="FILES…", help="Recordings from the room or line; of several voices, best.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the bundle.")],
    model: ModelOption = None,
    name: Annotated[str | None, typer.Option(help="Of the new model (default: the old one's, and -adapted).")] = None,
    quiet: QuietOption = False,
) -> None:
    """Write a model that knows a room or line: what all these recordings share is taken out, for everybody.

    Nobody has to say in which emotions they are. Files that cannot be heard are named, and the exit code is then 1.
    """
    from thymos.runtime.recognizer import load
    from thymos.runtime.rewriting import check_folder, write_adapted

    check_folder(out)
    recognizer = load(model)
    name = name or f"{recognizer.bundle.about.name}-adapted"
    known, failures = _known_by(recognizer, paths, name, quiet)
    write_adapted(recognizer.bundle, out, known, name)
    _end(recognizer, known, name, f"model: {out}", failures)
