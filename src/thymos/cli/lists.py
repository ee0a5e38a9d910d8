"""What there is, as tables: ``thymos models``, ``thymos corpora`` and ``thymos recipes``."""

import os
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from thymos.cli.console import console, notes, shown
from thymos.errors import BundleError

if TYPE_CHECKING:
    from thymos.runtime.bundle import Bundle
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from thymos.cli.console import tell

if TYPE_CHECKING:
    from thymos.corpora.readers.named_corpus import KnownCorpus


def models(
    given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL…]", help="Folders or names to check (default: THYMOS_MODEL and those that come along)."
        ),
    ] = None,
) -> None:
    """Check models, and say what they tell apart, what they were trained on, and what may be done with them."""
    from thymos.runtime.bundle import ENVIRONMENT, find_bundle, read_bundle, shipped_models

    named = os.environ.get(ENVIRONMENT)
    places = given or [*([named] if named else []), *shipped_models()]
    if not places:
        raise BundleError("no model comes with this installation, and THYMOS_MODEL names none")
    failures = 0
    for place in places:
        try:
            console.print(_description(read_bundle(find_bundle(place))))
        except BundleError as error:
            failures += 1
            notes.print(f"[yellow]not usable:[/yellow] {shown(error)}", soft_wrap=True)
    if failures:
        raise typer.Exit(1)


def _description(bundle: "Bundle") -> Table:
    about = bundle.about
    table = Table("", "", title=shown(f"{about.name} {about.version}"), show_header=False)
    sets = "none" if about.conformal is None else f"hold the true emotion in {about.conformal.coverage:.0%}"
    known = about.out_of_distribution
    unlike = "not told" if known is None else f"told; {known.acceptance:.0%} of held-out recordings are within"
    rows = {
        "folder": str(bundle.folder),
        "emotions": ", ".join(about.labels) or "none",
        "dimensions": ", ".join(about.dimensions),
        "takes": f"{about.rate_hz} Hz; windows of {about.window_s:g} s every {about.hop_s:g} s",
        "parameters": f"{about.parameters:,}",
        "temperature": f"{about.temperature:.3f}",
        "prediction sets": sets,
        "out of distribution": unlike,
        "trained on": "; ".join(_corpus(row) for row in about.trained_on),
        "adapted to": _room(about.adapted_to),
        "licence": about.licence,
        "SHA-256": bundle.digest,
    }
    for score in about.scores:
        accuracy = score.get("accuracy")
        mean = accuracy.get("mean") if isinstance(accuracy, dict) else accuracy
        if isinstance(mean, float):
            rows[f"accuracy, {score.get('protocol')}"] = (
                f"{mean:.3f} on {score.get('recordings')} recordings of " + str(score.get("corpus"))
            )
    if about.adapted_to is None:
        rows.pop("adapted to")
    if not about.dimensions:
        rows.pop("dimensions")
    for key, value in rows.items():
        table.add_row(key, shown(value))
    return table


def _room(told: dict[str, object] | None) -> str:
    told = told or {}
    model = told.get("model")
    before = f"{model.get('name')} {model.get('version')}" if isinstance(model, dict) else "a model"
    return f"{told.get('clips')} clips, {told.get('speech_s')} s of speech; {before} before"


def _corpus(row: dict[str, object]) -> str:
    synthetic = " (synthetic)" if row.get("synthetic") else ""
    return f"{row.get('name')}{synthetic}: {row.get('clips')} recordings, {row.get('stage', 'training')}"


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
