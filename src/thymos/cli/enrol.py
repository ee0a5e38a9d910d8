"""``thymos enrol``: get to know a voice by some of its recordings."""

from typing import TYPE_CHECKING, Annotated

import typer

from thymos.cli.console import ModelOption, QuietOption, VoicesOption, not_heard, progress, say, tell
from thymos.errors import BundleError

if TYPE_CHECKING:
    from thymos.runtime.recognizer import Recognizer
    from thymos.runtime.voice import Voice


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
    from thymos.runtime.recognizer import load
    from thymos.runtime.voice import find_voice, voice_path

    path = voice_path(name, voices)
    if add and replace:
        raise BundleError("--add keeps what is known of the voice, and --replace forgets it: give one of both")
    if path.exists() and not (add or replace):
        raise BundleError(f"the voice {name} is known already: --add knows it better, --replace begins anew")
    recognizer = load(model)
    earlier = find_voice(name, voices) if add else None
    recognizer.for_voice(earlier)  # of another model: known before anything is heard
    voice, failures = known_by(recognizer, paths, name, quiet)
    if voice is None:
        raise typer.Exit(1)
    if earlier is not None:
        voice = earlier.with_more(voice)
    voice.save(path)
    tell(f"{describe_known(recognizer, voice)}; kept: {path}")
    for doubt in voice.doubts(recognizer.space):
        say(f"{name}: {doubt}")
    if failures:
        raise typer.Exit(1)


def known_by(recognizer: "Recognizer", paths: list[str], name: str, quiet: bool) -> "tuple[Voice | None, int]":
    """Return what is known of a voice, room or line by recordings, and how many cannot be heard, which are named.

    Raises:
        BundleError: the model knows no voices.
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
    return (recognizer.voice_of(heard, name) if heard else None), failures


def describe_known(recognizer: "Recognizer", voice: "Voice") -> str:
    """Return by what a voice, room or line is known."""
    offset = voice.offset(recognizer.space)
    return f"{voice.name}: {offset.clips} clips, {voice.speech_s:.1f} s of speech, in {offset.variety:.1f} emotions"
