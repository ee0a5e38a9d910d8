"""Write docs/commands.md from the command line's own help: python scripts/command_reference.py

What is asked for is read from the commands themselves, so the page says what ``--help`` says; ``tests/test_docs.py``
fails where a command or an option has come or gone since it was written.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from thymos.cli import app
from thymos.files import write_text

_TYPES = {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "PATH"}
PAGE = Path(__file__).parent.parent / "docs" / "commands.md"
HEAD = """\
# Commands

What `thymos COMMAND --help` says, on one page; `python scripts/command_reference.py` writes it from there.

Exit codes: 0 done; 1 some inputs could not be used, and are named; 2 the call or its configuration is wrong; 130
interrupted; 141 who read the output has gone away, as `head -1` does, of which nothing is said.
"""


def commands() -> dict[str, Any]:
    """Return each command by its name, in the order of ``thymos --help``."""
    return dict(typer.main.get_command(app).commands)


def option_names(command: Any) -> tuple[str, ...]:
    """Return what a command may be given by name, ``--quiet`` and the like, but for ``--help``."""
    return tuple(name for each in command.params for name in (*each.opts, *each.secondary_opts) if name.startswith("-"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _value(parameter: Any) -> str:
    """Return what an option takes: its metavar, its choices or its type; nothing for a switch."""
    if parameter.is_flag:
        return ""
    if parameter.metavar:
        return str(parameter.metavar)
    annotation = parameter.type_descriptor.annotation
    annotation = get_args(annotation)[0] if get_origin(annotation) is list else annotation
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    return "|".join(map(str, choices)) or _TYPES.get(annotation, annotation.__name__.upper())


def _said(parameter: Any) -> str:
    """Return what an option's help says, with its default where it tells one."""
    told = _cell(parameter.help or "")
    default = parameter.default
    if parameter.show_default and default not in (None, False, [], ""):
        told += f" Default: `{_cell(str(default))}`."
    return f"{told} Required." if parameter.required else told


def _lines(name: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and each.name != "help"]
    usage = " ".join(["thymos", name, *(each.metavar or each.name.upper() for each in arguments), "[OPTIONS]"])
    yield from (f"## {name}", "", "```text", usage, "```", "", inspect.cleandoc(command.help or ""), "")
    rows = [(each.metavar or each.name.upper(), "", each) for each in arguments]
    rows += [(", ".join((*each.opts, *each.secondary_opts)), _value(each), each) for each in options]
    if not rows:
        return
    yield from ("| | takes | |", "|---|---|---|")
    for called, value, each in rows:
        takes = f"`{_cell(value)}`" if value else ""
        yield f"| `{_cell(called)}` | {takes} | {_said(each)} |"
    yield ""


def page() -> str:
    """Return the whole page."""
    lines = [line for name, command in commands().items() for line in _lines(name, command)]
    return "\n".join([HEAD, *lines]).rstrip() + "\n"


if __name__ == "__main__":
    write_text(PAGE, page())
