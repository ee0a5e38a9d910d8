"""The command line: one module per command, which parses, calls the packages below, and prints."""

import sys

import typer

from thymos.cli.audit import audit
from thymos.cli.evaluate import evaluate
from thymos.cli.show import show
from thymos.cli.train import train
from thymos.errors import ThymosError

INTERRUPTED = 130

app = typer.Typer(
    name="thymos",
    help="Speech emotion recognition with small convolutional networks, judged honestly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (audit, show, evaluate, train):
    app.command()(command)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 some inputs unusable, 2 a wrong call, 130 interrupted."""
    # This process is ours, so its allocator may be set; a program that imports Thymos keeps its own.
    from thymos.training.memory import keep_freed_memory

    keep_freed_memory()
    try:
        app()
    except ThymosError as error:
        print(f"thymos: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"thymos: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer makes this of Ctrl-C, without a word
            print("thymos: interrupted; the same command goes on where it stopped", file=sys.stderr)
        raise
