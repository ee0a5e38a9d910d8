"""``thymos recipes``: which recipes and studies come with Thymos."""

from typing import Annotated

import typer
from rich.table import Table

from thymos.cli.console import console, shown


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A recipe or study to print: a start for your own.")
    ] = None,
) -> None:
    """List recipes and studies, or print one: `--recipe` takes its name, or a file that began as a copy of it."""
    from thymos.recipes import shipped_files

    files = shipped_files()
    if name is not None:
        from thymos.config import nearest
        from thymos.errors import RecipeError

        if name not in files:
            raise RecipeError(f"there is no recipe or study {name!r}{nearest(name, list(files))}")
        print(files[name].text, end="")
        return
    table = Table("name", "kind", "what")
    for own, file in files.items():
        table.add_row(own, file.kind, shown(file.description))
    console.print(table)
    console.print(
        "thymos recipes NAME prints one; thymos evaluate CORPUS --recipe NAME|FILE follows it.", highlight=False
    )
