"""What finished runs tell: ``thymos compare`` sets them side by side, with paired tests; ``thymos describe`` has the
method paragraph of one, and what it has to cite.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from thymos.cli.console import FiguresOption, console, shown, tell


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folders of evaluate, or of rows of a study."),
    ],
    base: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="The one that the others are compared with (default: the first)."),
    ] = None,
    level: Annotated[
        Literal["recording", "segment"], typer.Option(help="What accuracy counts. McNemar's test counts recordings.")
    ] = "recording",
    name: Annotated[
        list[str] | None,
        typer.Option(help="What the table calls a run, in their order; once for each. Default: its folder's name."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="A folder for compare.csv, .md, .tex and .json, and the figure forest."),
    ] = None,
    figures: FiguresOption = "png,pdf,svg",
) -> None:
    """Compare finished runs: paired differences with interval, t-test over folds, McNemar's test, Holm's correction.

    The t-test (corrected for the overlap of training parts) needs runs of the same folds; else the table says why there
    is none.
    """
    from thymos.errors import RunError
    from thymos.files import figure_formats
    from thymos.reports.comparison_report import claim_comparison_folder, comparison_table, verdicts, write_comparison
    from thymos.scoring.comparison import compare as compare_all

    formats = figure_formats(figures)
    if out is not None:
        claim_comparison_folder(out)
    places = [run.resolve() for run in runs]
    if base is not None and base.resolve() not in places:
        raise RunError(f"--base {base} is none of the runs that are compared")
    table = compare_all(runs, name or None, level, places.index(base.resolve()) if base else 0)
    console.print(comparison_table(table))
    for sentence in verdicts(table):
        console.print(shown(sentence), highlight=False)
    if out is not None:
        write_comparison(table, out, formats)
        console.print(f"Files: [bold]{shown(out)}[/bold]", soft_wrap=True)


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
