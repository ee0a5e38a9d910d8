"""``thymos export``: write a trained model's bundle anew, with what training could not know of it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from thymos.cli.console import console, shown
from thymos.errors import BundleError, RunError


def export(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            help="A folder that `thymos train` or `thymos pretrain` made, or a shipped model's name "
            "(default with --hub: the shipped one).",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the bundle; may be the model's own.")] = None,
    hub: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --out: folder for a model as Hugging Face's hub takes it, with card, licence and labels."
        ),
    ] = None,
    float32: Annotated[
        bool,
        typer.Option(
            "--float32",
            help="Reckon in float32 what is rounded to 8 bits: slower, and alike on every processor and in a browser.",
        ),
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the model (default: as it is).")] = None,
    model_version: Annotated[
        str | None, typer.Option("--model-version", help="Its version (default: as it is).")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="What may be done with the model (default: as it is).")] = None,
    graph_only: Annotated[
        bool, typer.Option("--graph-only", help="Leave out weights.safetensors: the graph has the same numbers.")
    ] = False,
    without_encoder: Annotated[
        bool,
        typer.Option("--without-encoder", help="Leave out the encoder, where it is the one that comes with Thymos."),
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(help="A calibration.json of `benchmarks/left_out.py`, instead of the model's own calibration."),
    ] = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option(help="A run folder of `thymos evaluate` whose scores the bundle shall show. May be repeated."),
    ] = None,
) -> None:
    """Write the bundle of a trained model anew: its files as they are, and model.json with what is said here."""
    from thymos.runtime.bundle import WEIGHTS, find_bundle, shipped_models
    from thymos.runtime.hearing import ENCODER_ABOUT
    from thymos.runtime.rewriting import ENCODER_FILES, rewrite_bundle

    if (out is None) == (hub is None):
        raise BundleError("say where to write, once: --out FOLDER for a bundle, or --hub FOLDER for a hub of models")
    if model is None and hub is None:
        raise BundleError("name the model to export: a folder, or a shipped model")
    if model is None or (str(model) in shipped_models() and not model.exists()):
        model = find_bundle(model)
    given: dict[str, Any] = {"name": name, "version": model_version, "licence": licence}
    changes = {key: value for key, value in given.items() if value is not None}
    if hub is not None:
        if graph_only or without_encoder or calibration or scores or float32:
            raise BundleError("--hub takes a finished model: of the other options, only its names and licence")
        from thymos.reports.hub_folder import write_hub_folder

        write_hub_folder(model, hub, changes)
        console.print(f"Model: [bold]{shown(hub)}[/bold]", soft_wrap=True)
        return
    assert out is not None
    if float32:
        if name or model_version or licence or scores or graph_only or without_encoder or calibration:
            raise BundleError("--float32 changes how a model reckons and nothing else: give --out alone")
        from thymos.encoder.export import export_in_float32

        export_in_float32(model, out)
        console.print(f"Model: [bold]{shown(out)}[/bold]", soft_wrap=True)
        return

    if not (model / "model.json").is_file() and (model / ENCODER_ABOUT).is_file():
        if name or model_version or licence or scores or graph_only or without_encoder or calibration:
            raise BundleError(f"{model} is an encoder, which is exported as it is: give --out alone")
        _export_encoder(model, out)
        return

    if not (model / "model.json").is_file() and (model / "results.json").is_file():
        raise BundleError(
            f"{model} is a run of `thymos evaluate`, which keeps no weights: `thymos train` makes a model by its recipe"
        )
    if (graph_only or without_encoder) and out.resolve() == model.resolve():
        raise BundleError("--graph-only and --without-encoder would take files of the model away: choose another --out")
    leave_out = [WEIGHTS] if graph_only else []
    leave_out += ENCODER_FILES if without_encoder else ()
    if calibration is not None:
        changes |= _read_calibration(calibration)
    rewrite_bundle(model, out, changes, leave_out, lambda about: [_scores_of(run, about) for run in scores or ()])
    console.print(f"Model: [bold]{shown(out)}[/bold]", soft_wrap=True)


def _read_calibration(path: Path) -> dict[str, Any]:
    """Return the fields of ``model.json`` that the calibration in the file ``path`` is.

    Raises:
        BundleError: it cannot be read, or is none.
    """
    from pydantic import ValidationError

    from thymos.runtime.bundle import AdaptationAbout
    from thymos.runtime.model_files import read_json

    content = read_json(path)
    try:
        plain, adapted = (AdaptationAbout.model_validate(content[way]) for way in ("plain", "adapted"))
    except (ValueError, KeyError, TypeError, ValidationError):
        raise BundleError(
            f"{path} is no calibration: it lacks temperatures and thresholds, plain and adapted"
        ) from None
    told = plain.model_dump(mode="json")
    return {**told, "adaptation": adapted.model_dump(mode="json")}


def _export_encoder(encoder: Path, out: Path) -> None:
    """Write the encoder that ``thymos pretrain`` made as the runtime takes it: with its graph, in 8 bits."""
    from thymos.encoder.describe import start_of
    from thymos.encoder.export import export_encoder
    from thymos.encoder.recipe import EncoderRecipe

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} exists; choose another --out for the encoder")
    export_encoder(start_of(EncoderRecipe(name="encoder", start_from=str(encoder))), out, int8=True)
    console.print(f"Encoder: [bold]{shown(out)}[/bold]", soft_wrap=True)


def _scores_of(run: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Return what the run in ``run`` measured, as a bundle shows it.

    Raises:
        RunError: there is no finished run, or it evaluated another recipe than the model was trained by.
    """
    from thymos.scoring.predictions import read_predictions
    from thymos.scoring.results import read_results

    results = read_results(run)
    if _deciding(results.recipe) != _deciding(about["recipe"]):
        raise RunError(f"{run} evaluated another recipe than the one that the model was trained by")
    beside = (results.model_extra or {}).get("deciding", {})
    if beside.get("encoder") != about.get("start_from", {}).get("sha256"):
        raise RunError(f"{run} started from another encoder than the model")
    if results.summary is None:
        raise RunError(f"{run} scored dimensions and no emotions, and a model shows scores of emotions")
    summary = results.summary.recording
    return {
        "corpus": results.corpus.name,
        "protocol": results.protocol.name,
        "of": "networks fitted by the same recipe to the training parts of the folds",
        "splits": len(results.folds),
        # Those that were tested: a protocol from a file may leave most of the corpus in training.
        "recordings": read_predictions(run / "predictions.csv")["clip"].nunique(),
        **{metric: getattr(summary, metric).model_dump(mode="json") for metric in ("accuracy", "uar", "macro_f1")},
    }


def _deciding(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return what decides a model's numbers: calibration comes after, words are words, and an encoder is its digest."""
    beside = ("calibrated", "description", "start_from", "int8")
    return {key: value for key, value in recipe.items() if key not in beside}
