"""``thymos describe``: the method paragraph of a finished run, and what it has to cite."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from thymos.cli.console import tell


def describe(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of evaluate or search, or a study's row.")],
    format: Annotated[
        Literal["text", "markdown", "latex", "bibtex"],
        typer.Option(help="How it is printed; bibtex: the entries alone. In text and Markdown they follow."),
    ] = "text",
    out: Annotated[
        Path | None, typer.Option(help="A folder for method.txt, .md, .tex and .bib; then nothing is printed.")
    ] = None,
) -> None:
    """Say how a run was made, as a paper's method section does, and what to cite.

    Corpus and exclusions, protocol and folds, model and settings, what an encoder has heard, calibration, figures with
    intervals, versions: all from the run's results.json.
    """
    from thymos.reports.method import describe_run, write_descriptions
    from thymos.scoring.results import read_results

    results = read_results(run)
    if out is not None:
        for path in write_descriptions(results, out):
            tell(str(path))
        return
    lines = describe_run(results, format).splitlines()
    if format in ("text", "markdown"):
        entries = describe_run(results, "bibtex").splitlines()
        lines += ["", *(["```bibtex", *entries, "```"] if format == "markdown" else entries)]
    for line in lines:
        tell(line)
