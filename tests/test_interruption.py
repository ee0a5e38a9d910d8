"""Ctrl-C ends a command within a few seconds, with 130 and one sentence, wherever it comes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from thymos.interruption import GRACE_S

LOST = """
import multiprocessing, sys, time
import thymos.cli

def app():
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(300,))
    child.start()
    print(child.pid, flush=True)
    while True:
        try:
            time.sleep(300)
        except KeyboardInterrupt:
            {then}

thymos.cli.app = app
sys.argv = ["thymos", "evaluate"]
if __name__ == "__main__":
    thymos.cli.main()
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def interrupted_while_importing(folder: Path, *words: str) -> tuple[int, str, str]:
    """Run Python with modules of ``folder``; return its code, and what it printed after it was interrupted."""
    with subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(folder)},
    ) as running:
        assert running.stdout.readline() == "importing\n"
        running.send_signal(signal.SIGINT)
        printed, errors = running.communicate(timeout=60)
    return running.returncode, printed, errors


@pytest.mark.slow
@pytest.mark.parametrize("then", ["pass", "sys.exit(130)", "time.sleep(300)", "raise"])
def test_it_ends_though_the_exception_is_lost(tmp_path, then):
    script = tmp_path / "lost.py"
    script.write_text(LOST.format(then=then))
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        child = int(running.stdout.readline())
        began = time.monotonic()
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
        took_s = time.monotonic() - began
    assert (running.returncode, errors) == (130, "thymos: interrupted; the same command goes on where it stopped\n")
    assert took_s < (GRACE_S + 2 if then in ("pass", "time.sleep(300)") else GRACE_S)
    deadline = time.monotonic() + 10
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child)


def test_it_ends_while_the_commands_are_imported(tmp_path):
    (tmp_path / "typer.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(300)\n")
    code, _, errors = interrupted_while_importing(tmp_path, "-m", "thymos")
    assert (code, errors) == (130, "thymos: interrupted\n")


def test_nothing_is_raised_within_an_import(tmp_path):
    """C++ libraries abort the process when an exception comes out of what they call while they are imported."""
    (tmp_path / "slow.py").write_text(
        "import time\ntry:\n    print('importing', flush=True); time.sleep(300)\nexcept KeyboardInterrupt:\n"
        "    print('raised', flush=True)\n"
    )
    code = "from thymos.interruption import ending_when_interrupted\nwith ending_when_interrupted():\n    import slow"
    assert interrupted_while_importing(tmp_path, "-c", code) == (130, "", "thymos: interrupted\n")


def test_what_was_printed_before_is_kept():
    code = (
        "import sys, time; from thymos.interruption import ending_when_interrupted\n"
        "with ending_when_interrupted():\n"
        "    sys.stdout.write('kept'); sys.stderr.write('now'); sys.stderr.flush(); time.sleep(300)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr.read(3) == "now"
        running.send_signal(signal.SIGINT)
        printed, _ = running.communicate(timeout=60)
    assert (running.returncode, printed) == (130, "kept")
