"""``thymos bench``: how fast this is on the user's own machine, beside peers."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from thymos.cli.console import console, notes
from thymos.cli.options import QuietOption
from thymos.errors import ThymosError
from thymos.machine import available_cores


class PlanError(ThymosError):
    """What is to be measured is named wrongly."""


def bench(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH…]", help="Recordings of speech to measure with (default: the corpus of a clone)."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write speed.json and speed.md here; a page with marks keeps what is around them."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder of a model (default: THYMOS_MODEL, else the one that comes along).")
    ] = None,
    peers: Annotated[
        str | None,
        typer.Option(
            help="Whom to measure beside it, by commas: silero-vad, opensmile-egemaps, opensmile-compare, "
            "wav2vec2-base, wavlm-large, or none (default: all)."
        ),
    ] = None,
    peer_python: Annotated[
        str | None, typer.Option(metavar="PYTHON", help="A Python that has openSMILE, if this one has not.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads, on as many cores.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="Few repeats: roughly how fast, in a minute.")] = False,
    long: Annotated[bool, typer.Option("--long", help="Hear a file of ten hours, too.")] = False,
    install: Annotated[bool, typer.Option("--install", help="Install into a new environment, too.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Measure starts, throughput, a stream, long files and the install on this machine, beside peers in the same run.

    Each row is measured in a process of its own on one core. Peers that are not installed are named.
    """
    from thymos.bench.measure import measure
    from thymos.bench.plan import LONGEST_S, PEERS, QUICK, Plan
    from thymos.bench.sound import default_paths
    from thymos.bench.tables import headline, rich_tables, write_report

    wanted = tuple(PEERS) if peers is None else tuple(word for word in peers.split(",") if word != "none")
    if unknown := [word for word in wanted if word not in PEERS]:
        raise PlanError(f"--peers knows {', '.join(PEERS)} and none, not {', '.join(unknown)}")
    if threads > available_cores():
        raise PlanError(f"--threads {threads} is more than the {available_cores()} cores that are here")
    if peer_python is not None and shutil.which(peer_python) is None:
        raise PlanError(f"--peer-python {peer_python} is no program")
    plan = Plan(peers=wanted, threads=threads, install=install, **(QUICK if quick else {}))
    if long:
        plan = plan.model_copy(update={"lengths_s": (*plan.lengths_s, LONGEST_S)})
    with notes.status("Measuring") if not quiet and notes.is_terminal else _Silent() as status:
        report = measure(
            paths or default_paths(),
            plan,
            model,
            peer_python,
            quick,
            lambda name: status.update(f"Measuring: {name}"),
        )
    for table in rich_tables(report):
        console.print(table)
    for line in headline(report):
        notes.print(line, markup=False, highlight=False, soft_wrap=True)
    if out is not None:
        write_report(report, out)


class _Silent:
    """What says nothing where nobody looks."""

    def __enter__(self) -> "_Silent":
        return self

    def __exit__(self, *reason: object) -> None:
        pass

    def update(self, text: str) -> None:
        """Say nothing."""
