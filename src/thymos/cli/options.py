"""Arguments and options that several commands take."""

from pathlib import Path
from typing import Annotated, Literal

import typer

CorpusArgument = Annotated[
    str,
    typer.Argument(
        metavar="CORPUS",
        help="A folder, KIND:FOLDER (such as aesdd:PATH), or a CSV table with columns file and emotion.",
    ),
]
RecipeOption = Annotated[str, typer.Option(help="A shipped recipe's name, or a YAML file.")]
ChangesOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, such as training.epochs=5. May be repeated."),
]
PrecisionOption = Annotated[Literal["bf16", "fp32"] | None, typer.Option(help="Short for --set training.precision=…")]
SeedOption = Annotated[int, typer.Option(min=0, help="Decides folds, initial weights, order and dropout.")]
CacheOption = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Where measurements and pictures are kept (default: ~/.cache/thymos)."),
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Stop with exit code 1 if any file cannot be used.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
