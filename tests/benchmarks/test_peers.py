"""The benchmark beside peers: arithmetic, page, processes, and a small run. Nothing is said about how fast that is."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "benchmarks" / "peers"
MACHINE = {
    "date": "2026-01-01 00:00 UTC",
    "processor": "A | B",
    "cores": 4,
    "memory_gb": 8.0,
    "system": "Linux x86_64",
    "load_average": 0.1,
    "versions": {"python": "3.11.1"},
}
FACTS = {"threads": 1, "quick": False, "model": "toy 1", "wall_s": 60.0}


@pytest.fixture(scope="module")
def peers() -> SimpleNamespace:
    """The benchmark's modules, which find each other as they do for a script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PEERS))
        import jobs
        import page
        import run

        return SimpleNamespace(jobs=jobs, page=page, run=run)


@pytest.fixture(scope="module")
def ran(mini: Path, peers: SimpleNamespace) -> list:
    """All rows of a run at the smallest settings, beside one peer that is here and one whose library never is."""
    plan = peers.run.Plan(
        starts=1, clips_s=4.0, budget_s=0.0, least=2, hops=3, hop_s=0.5, lengths_s=(31.0,)
    )  # longer than what is heard as one
    with pytest.MonkeyPatch.context() as patch:
        absent = ("No such peer", "opensmile_files", {"features": "none"})
        patch.setitem(peers.run.PEERS, "absent", absent)
        patch.setattr(peers.run, "run_job", without_opensmile(peers.run.run_job))
        model, rows = peers.run.measure([str(mini / "anger")], plan, ["silero-vad", "absent"], None)
    assert model.startswith("thymos")
    return rows


def without_opensmile(run_job):
    """``run_job`` in an environment that lacks openSMILE, as most do."""

    def run(name: str, job: dict) -> dict:
        if name == "opensmile_files":
            return run_job("no_such_job", job)
        return run_job(name, job)

    return run
