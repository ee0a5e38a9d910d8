"""The command line: one module per command, which parses, calls the packages below, and prints."""

import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from thymos.cli.audit import audit
from thymos.cli.doctor import bench, doctor
from thymos.cli.embed import embed
from thymos.cli.enrol import adapt, enrol, voices
from thymos.cli.evaluate import evaluate
from thymos.cli.export import export
from thymos.cli.listen import listen, listen_epilog
from thymos.cli.lists import corpora, models, recipes
from thymos.cli.parts import merge
from thymos.cli.predict import predict
from thymos.cli.pretrain import pretrain
from thymos.cli.runs import compare, describe
from thymos.cli.search import search
from thymos.cli.serve import serve
from thymos.cli.show import show
from thymos.cli.study import study
from thymos.cli.train import train
from thymos.errors import ThymosError
from thymos.escaping import printable
from thymos.interruption import ending_when_interrupted
from thymos.streams import output_told, prepare_streams

FITTING = {"audit", "evaluate", "export", "pretrain", "show", "study", "train"}
"""Commands that make or fit arrays large enough for the allocator to matter; all others start without what sets it."""


class EmptyWordError(ThymosError, ValueError):
    """A word of the command is empty."""


app = typer.Typer(
    name="thymos",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        from thymos import __version__

        print(f"thymos {__version__}")
        raise typer.Exit


@app.callback()
def _thymos(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version, and do no more.")
    ] = False,
) -> None:
    """Speech emotion recognition with small convolutional networks, judged honestly."""


for command in (
    *(audit, corpora, show, evaluate, compare, describe, train, pretrain, study, search),
    *(predict, merge, embed, listen, serve, enrol, voices, adapt, export, models, recipes, bench, doctor),
):
    app.command(epilog=listen_epilog() if command is listen else None)(command)


def _as_note(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return a warning as the commands write it: one sentence, and no line of code."""
    return f"thymos: {printable(str(message))}\n"


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 1 some inputs unusable, 2 a wrong call, 130 interrupted, 141 nobody reads the output any more.
    """
    # This process is ours, so it may be set up for training; a program that imports Thymos stays as it is.
    if sys.argv[1:2] and sys.argv[1] in FITTING:
        from thymos.engine.process import set_up_process

        set_up_process()
    warnings.formatwarning = _as_note
    try:
        prepare_streams()
        check_words(sys.argv[1:])
        with ending_when_interrupted(), output_told():
            app()
    except ThymosError as error:
        _end(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("thymos"):
            raise
        extra = "plots" if error.name.partition(".")[0] in ("matplotlib", "jinja2") else "train"
        _end(f"this needs the library {error.name}: pip install 'thymos[{extra}]'")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _end(f"{where}{error.strerror or error}")


def check_words(words: Sequence[str]) -> None:
    """Check that no word of a command is empty, as where a variable of the shell is not set: it would be taken for the
    folder where the command runs.

    Raises:
        EmptyWordError: one is.
    """
    for place, word in enumerate(words):
        if word == "" and words[place - 1 : place] != ["--label-map"]:
            raise EmptyWordError(f"word {place + 1} of this command is empty; is a variable not set?")
        option, equals, value = word.partition("=")
        if option.startswith("--") and equals and not value and option != "--label-map":
            raise EmptyWordError(f"{option} is given nothing; is a variable not set?")


def _end(sentence: str) -> NoReturn:
    print(f"thymos: {printable(sentence)}", file=sys.stderr)
    sys.exit(2)
