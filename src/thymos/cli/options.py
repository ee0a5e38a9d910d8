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
    typer.Option("--cache-dir", help="Where measurements and features are kept (default: ~/.cache/thymos)."),
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Stop with exit code 1 if any file cannot be used.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
ThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Cores to keep busy (default: all that are free to use). Changes no digit."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, help="Fits at once, each in a process of its own (default: one a thread). Changes no digit."),
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option(help="Where networks are fitted and recordings described; auto takes an accelerator that is there."),
]
