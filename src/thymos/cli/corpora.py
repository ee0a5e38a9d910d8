"""``thymos corpora``: which corpora are read by their names, and in which formats any other is read."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from thymos.cli.console import console, shown, tell

if TYPE_CHECKING:
    from thymos.corpora.readers.named_corpus import KnownCorpus


def corpora(
    form: Annotated[
        Literal["table", "json", "markdown"],
        typer.Option("--format", help="A table for people, JSON for programs, or the Markdown of docs/corpora.md."),
    ] = "table",
) -> None:
    """List the corpora that are recognised by looking at a folder, with source, licence, size and what is expected.

    Nothing is downloaded: the sources say where each is had. A prefix such as ravdess:FOLDER says which a folder is.
    """
    from thymos.corpora.finding import formats, known_corpora

    known = list(known_corpora())
    if form == "json":
        described = [asdict(corpus) for corpus in known]
        print(json.dumps({"corpora": described, "formats": formats()}, ensure_ascii=False, indent=2))
    elif form == "markdown":
        print(_markdown(known))
    else:
        console.print(_table(known))
        tell("Where they are had, and what their readers look for:")
        for corpus in known:
            note = f" ({corpus.note})" if corpus.note else ""
            tell(f"  {corpus.kind}: {corpus.source} – {corpus.expects}{note}")
        tell("Any other corpus is read in one of these formats:")
        for kind, what in formats().items():
            tell(f"  {kind}: {what}")


def _table(known: "list[KnownCorpus]") -> Table:
    table = Table("corpus", "languages")
    for number in ("clips", "hours", "speakers"):
        table.add_column(number, justify="right")
    table.add_column("emotions")
    table.add_column("licence")
    for corpus in known:
        numbers = (str(corpus.clips), f"{corpus.hours:g}", str(corpus.speakers))
        words = (", ".join(corpus.emotions), corpus.licence)
        table.add_row(corpus.name, ", ".join(corpus.languages), *numbers, *map(shown, words))
    return table


def _markdown(known: "list[KnownCorpus]") -> str:
    """Return a table of what is known of corpora, and a line on what each reader expects, for the documentation."""
    rows = [("corpus", "prefix", "languages", "clips", "hours", "speakers", "emotions", "licence")]
    rows.append(("---", "---", "---", "---:", "---:", "---:", "---", "---"))
    expected = []
    for corpus in known:
        numbers = (str(corpus.clips), f"{corpus.hours:g}", str(corpus.speakers))
        name, languages, emotions = f"[{corpus.name}]({corpus.source})", ", ".join(corpus.languages), corpus.emotions
        rows.append((name, f"`{corpus.kind}`", languages, *numbers, ", ".join(emotions), corpus.licence))
        note = f" {corpus.note[0].upper()}{corpus.note[1:]}." if corpus.note else ""
        expected.append(f"- `{corpus.kind}` ({corpus.paper}): {corpus.expects}.{note}")
    return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), "", *expected])
