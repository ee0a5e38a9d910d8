"""``thymos adapt``: a model for a room or line, which is taken out of everything that it hears."""

from pathlib import Path
from typing import Annotated

import typer

from thymos.cli.console import ModelOption, QuietOption, say, tell
from thymos.cli.enrol import describe_known, known_by


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
    known, failures = known_by(recognizer, paths, name, quiet)
    if known is None:
        raise typer.Exit(1)
    write_adapted(recognizer.bundle, out, known, name)
    tell(f"{describe_known(recognizer, known)}; model: {out}")
    for doubt in known.doubts(recognizer.space):
        say(f"{name}: {doubt}")
    if failures:
        raise typer.Exit(1)
