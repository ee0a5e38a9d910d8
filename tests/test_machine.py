"""The number of cores that this process may use is the default everywhere."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from thymos.cli import app
from thymos.machine import available_cores
from thymos.runtime.recognizer import Recognizer, load


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
def test_cores_are_those_that_the_process_is_bound_to():
    code = (
        "import os; from thymos.machine import available_cores; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    )
    done = subprocess.run([sys.executable, "-c", f"{code}; print(available_cores())"], capture_output=True, text=True)
    assert done.stdout == "1\n"


def test_command_line_and_python_hear_by_one_default(bundle, mini, monkeypatch):
    monkeypatch.setattr("thymos.runtime.recognizer.available_cores", lambda: 3)
    assert load(bundle).threads == 3
    used = []
    monkeypatch.setattr(Recognizer, "predict_many", lambda self, *_: used.append(self.threads) or iter(()))
    words = ["predict", str(next(mini.glob("*/*"))), "--model", str(bundle)]
    CliRunner().invoke(app, words)
    CliRunner().invoke(app, [*words, "--threads", "2"])
    assert used == [3, 2] and available_cores() >= 1
