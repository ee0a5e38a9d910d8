"""This machine: ``thymos doctor`` tells what this installation can do, and what to do about what it cannot; ``thymos
bench``, how fast it is, on one screen.
"""

import importlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from thymos.cli.console import ModelOption, QuietOption, console, notes, shown
from thymos.errors import ThymosError

_REQUIREMENT = re.compile(r"""^(?P<name>[\w.-]+)(\[(?P<extras>[\w,.-]+)\])?.*;\s*extra\s*==\s*['"](?P<extra>\w+)['"]""")
ENOUGH_DISK_GB = 2.0


@dataclass(frozen=True)
class Symptom:
    """One thing that was looked at."""

    subject: str
    found: str
    fine: bool = True
    advice: str = ""
    """What to do where something is wrong, or could be better."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at this installation: versions, extras, devices, microphones, cache, models. Exit 1 if it cannot hear.

    Nothing is written but the cache folder, and nothing is fetched.
    """
    symptoms = [symptom for look in LOOKS for symptom in look()]
    if as_json:
        print(json.dumps([asdict(symptom) for symptom in symptoms], indent=2, ensure_ascii=False))
    else:
        width = max(len(symptom.subject) for symptom in symptoms)
        for symptom in symptoms:
            console.print(shown(f"{symptom.subject:{width}}  {symptom.found}"), highlight=False, soft_wrap=True)
            if symptom.advice:
                style = "yellow" if symptom.fine else "red"
                console.print(shown(f"{'':{width}}  → {symptom.advice}"), style=style, highlight=False, soft_wrap=True)
    if not all(symptom.fine for symptom in symptoms):
        raise typer.Exit(1)


def versions() -> list[Symptom]:
    """Say what is installed, and on what."""
    from thymos import __version__
    from thymos.machine import available_cores, processor

    python = f"Python {platform.python_version()} in {sys.prefix}"
    machine = f"{platform.system()} {platform.machine()}, {processor()}, {available_cores()} cores for this process"
    return [Symptom("thymos", f"{__version__}; {python}"), Symptom("machine", machine)]


def extras() -> list[Symptom]:
    """Say which extras are installed, by what the package itself declares."""
    wanted: dict[str, list[str]] = {}
    within: dict[str, set[str]] = {}
    for requirement in importlib.metadata.requires("thymos") or []:
        if (match := _REQUIREMENT.match(requirement)) is None:
            continue
        if match["name"].lower() == "thymos":
            within.setdefault(match["extra"], set()).update(match["extras"].split(","))
        else:
            wanted.setdefault(match["extra"], []).append(match["name"])
    symptoms = []
    for extra in sorted({*wanted, *within} - {"dev"}):
        names = [name for part in (extra, *within.get(extra, ())) for name in wanted.get(part, [])]
        missing = [name for name in names if not _installed(name)]
        found = "not installed" if len(missing) == len(names) else f"lacks {', '.join(missing)}"
        advice = f"pip install 'thymos[{extra}]'" if missing else ""
        symptoms.append(Symptom(f"extra {extra}", found if missing else "installed", advice=advice))
    return symptoms


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def devices() -> list[Symptom]:
    """Say what networks can be trained on, and which microphones there are."""
    symptoms = []
    if _installed("torch"):
        import torch

        names = [f"cuda ({torch.cuda.get_device_name(0)})"] if torch.cuda.is_available() else []
        names += ["mps"] if torch.backends.mps.is_available() else []
        symptoms.append(Symptom("train on", ", ".join([*names, "cpu"])))
    if _installed("sounddevice"):
        try:
            sounddevice: Any = importlib.import_module("sounddevice")

            names = [str(each["name"]) for each in sounddevice.query_devices() if each["max_input_channels"] > 0]
            found, advice = (", ".join(names), "") if names else ("none", "plug one in, or pipe sound: thymos listen -")
        except OSError:
            found, advice = "unknown", "install the system's PortAudio library, such as the package libportaudio2"
        symptoms.append(Symptom("microphones", found, advice=advice))
    return symptoms


def cache() -> list[Symptom]:
    """Say where features and voices are kept, and whether they can be."""
    from thymos.cache import cache_place

    place = cache_place()
    if place is None:
        return [
            Symptom("cache", "none: there is no home folder", advice="set THYMOS_CACHE to a folder that can be written")
        ]
    try:
        place.mkdir(parents=True, exist_ok=True)
        written = os.access(place, os.W_OK | os.X_OK)
    except OSError:
        written = False
    if not written:
        return [Symptom("cache", f"{place} cannot be written", advice="set THYMOS_CACHE to a folder that can be")]
    used = sum(file.stat().st_size for file in place.rglob("*") if file.is_file() and not file.is_symlink())
    free = shutil.disk_usage(place).free / 1e9
    advice = f"with less than {ENOUGH_DISK_GB:g} GB free, long runs may end early" if free < ENOUGH_DISK_GB else ""
    return [Symptom("cache", f"{place}: {used / 1e6:.0f} MB used, {free:.0f} GB free", advice=advice)]


def models() -> list[Symptom]:
    """Check the models that come along, and the one that is named, by their SHA-256 and a first answer."""
    from thymos.runtime.bundle import ENVIRONMENT, find_bundle, read_bundle, shipped_models

    named = os.environ.get(ENVIRONMENT)
    symptoms = []
    for place in [*([named] if named else []), *shipped_models()]:
        try:
            bundle = read_bundle(find_bundle(place))
        except ThymosError as error:
            symptoms.append(Symptom(f"model {place}", str(error), fine=False, advice="install thymos anew"))
        else:
            about = bundle.about
            told = ", ".join((*about.labels, *about.dimensions))
            found = f"{about.name} {about.version}: {told}; SHA-256 {bundle.digest[:12]}…"
            symptoms.append(Symptom(f"model {place}", found))
    return symptoms or [
        Symptom("models", "none comes with this installation", fine=False, advice="install thymos anew")
    ]


LOOKS: tuple[Callable[[], list[Symptom]], ...] = (versions, extras, devices, cache, models)


def bench(
    sound: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A recording of speech to measure with (default: synthetic).")
    ] = None,
    model: ModelOption = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="Repeat each part for so long.")] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Measure on this machine: a start, whole files, a stream's hop, and memory.

    Times are by the clock, so the work of other programs counts. It takes about 15 seconds.
    """
    from thymos.live import HOP_S
    from thymos.runtime.benchmark import measure

    def began(part: str) -> None:
        if not quiet and notes.is_terminal:
            notes.print(f"Measuring {part} …", style="dim")

    report = measure(sound, model, HOP_S, seconds, began)
    if as_json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        console.print("\n".join(screen(report)), markup=False, highlight=False, soft_wrap=True)


def screen(report: dict[str, Any]) -> list[str]:
    """Return the lines that say what was measured."""
    machine, model, sound, start = (report[part] for part in ("machine", "model", "sound", "start"))
    speed, stream, memory, repeats = (report[part] for part in ("real_time", "stream", "peak_memory_mb", "repeats"))
    cores, versions = machine["cores"], machine["versions"]
    lines = [
        f"machine  {machine['processor']}, {cores} core{'s' * (cores > 1)}, load {machine['load_average']}; "
        f"Python {versions['python']}, onnxruntime {versions['onnxruntime']}",
        f"model    {model['name']}, {model['parameters'] / 1e6:.1f} million parameters in {model['graph_mb']:.1f} MB",
        f"sound    {sound['file'] or 'synthetic'}, {sound['duration_s']:.1f} s, {sound['speech_s']:.1f} s of it speech",
        f"start    {start['answer_s']:.2f} s to one answer from a new process, {start['import_s']:.2f} s to import "
        f"thymos (median of {repeats['answer']})",
        f"files    {_several(speed, '{:.0f} × real time', cores)}",
        f"stream   {stream['median_ms']:.1f} ms for a hop of {stream['hop_s']:g} s, 99 of 100 below "
        f"{stream['p99_ms']:.1f} ms ({repeats['hops']} hops)",
    ]
    if stream["first_answer_s"] is not None:
        lines[-1] += f"; an emotion first told after {stream['first_answer_s']:.2f} s of this sound"
    if memory["one_core"] is not None:  # a system that does not say it
        lines.append(f"memory   {_several(memory, '{:.0f} MB at most', cores)}")
    if not sound["speech_s"]:
        lines.append("Nobody speaks in this sound, so the network rests: speech takes longer.")
    return lines


def _several(values: dict[str, float], wording: str, cores: int) -> str:
    said = f"{wording.format(values['one_core'])} on one core"
    return said if cores == 1 else f"{said}, {wording.format(values['all_cores'])} on {cores}"
