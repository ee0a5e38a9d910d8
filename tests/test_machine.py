"""What the machine is, and the number of cores that this process may use, which is the default everywhere."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from thymos.cli import app
from thymos.machine import available_cores, cgroup_cores, peak_memory_mb, this_machine
from thymos.runtime.recognizer import Recognizer, load


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
def test_cores_are_those_that_the_process_is_bound_to():
    code = (
        "import os; from thymos.machine import available_cores; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    )
    done = subprocess.run([sys.executable, "-c", f"{code}; print(available_cores())"], capture_output=True, text=True)
    assert done.stdout == "1\n"


def test_this_machine_is_described():
    machine = this_machine(("numpy", "no-such-package"))
    assert machine["processor"] and machine["cores"] == available_cores()
    assert machine["versions"] == {"python": platform.python_version(), "numpy": np.__version__}


@pytest.mark.slow
def test_peak_memory_is_a_processs_own():
    """On Linux a process that was started by a large one is said to have been as large, if asked the usual way."""
    ballast = np.ones(25_000_000)  # 200 MB
    code = "from thymos.machine import peak_memory_mb; print(peak_memory_mb())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 5 < float(done.stdout) < 150 < peak_memory_mb()
    assert ballast[0] == 1


def test_command_line_and_python_hear_by_one_default(bundle, mini, monkeypatch):
    monkeypatch.setattr("thymos.runtime.chosen.available_cores", lambda: 3)
    assert load(bundle).threads == 3
    used = []
    monkeypatch.setattr(Recognizer, "predict_many", lambda self, *_, **__: used.append(self.threads) or iter(()))
    words = ["predict", str(next(mini.glob("*/*"))), "--model", str(bundle)]
    CliRunner().invoke(app, words)
    CliRunner().invoke(app, [*words, "--threads", "2"])
    assert used == [3, 2] and available_cores() >= 1


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 2),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/a/b", {"a/cpu.max": "50000 100000", "a/b/cpu.max": "400000 100000", "cpu.max": "max 100000"}, 1),
        ("4:memory:/x\n3:cpu,cpuacct:/x", {"cpu/x/cpu.cfs_quota_us": "300000", "cpu/x/cpu.cfs_period_us": "100000"}, 3),
        ("3:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("0::/", {"cpu.max": "0 0"}, None),
        ("0::/gone", {}, None),
        ("nonsense", {"cpu.max": "nonsense"}, None),
    ],
)
def test_a_container_has_the_cores_that_it_is_given(own, files, cores, tmp_path):
    (tmp_path / "own").write_text(own + "\n")
    for name, content in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    assert cgroup_cores(tmp_path / "own", tmp_path / "groups") == cores
    assert cgroup_cores(tmp_path / "absent", tmp_path / "groups") is None
