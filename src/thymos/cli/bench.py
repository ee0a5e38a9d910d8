"""``thymos bench``: how fast Thymos is on the user's own machine, on one screen."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from thymos.cli.console import ModelOption, QuietOption, console, notes


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
