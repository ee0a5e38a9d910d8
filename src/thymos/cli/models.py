"""``thymos models``: which models are at hand, and what they are."""

import os
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from thymos.cli.console import console, notes, shown
from thymos.errors import BundleError

if TYPE_CHECKING:
    from thymos.runtime.bundle import Bundle


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
        "emotions": ", ".join(about.labels),
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
