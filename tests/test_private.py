"""Private: no connection, no look-up, and no file outside the cache and what was asked for, by us or by a library."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STRACE = shutil.which("strace")
CALLS = "trace=%network,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2"
WRITES = re.compile(r'(?:openat?\([^"]*"([^"]+)"[^)]*O_(?:WRONLY|RDWR|CREAT)|(?:creat|mkdir(?:at)?)\([^"]*"([^"]+)")')


def run(folder: Path, *words: str | Path, piped: bytes = b"") -> tuple[str, str]:
    """Run ``thymos`` as somebody new to it, with an own home; return what it printed, and its calls of the system."""
    home, calls = folder / "home", folder / "calls"
    home.mkdir()
    unset = ("ORT_DISABLE_TELEMETRY", "THYMOS_CACHE", "XDG_CACHE_HOME", "MPLCONFIGDIR", "CI", "GITHUB_ACTIONS")
    env = {name: value for name, value in os.environ.items() if name not in unset}
    env |= {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    watched = [STRACE, "-f", "--seccomp-bpf", "-e", CALLS, "-o", str(calls)] if STRACE else []
    done = subprocess.run(
        [*watched, sys.executable, "-m", "thymos", *map(str, words)], input=piped, env=env, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode(), calls.read_text(errors="replace") if STRACE else ""


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def check_calls(calls: str, *allowed: Path) -> None:
    assert "AF_INET" not in calls
    written = {path for match in WRITES.finditer(calls) for path in match.groups() if path}
    # Python itself keeps what it compiles beside a module, where that is not there yet.
    written = {path for path in written if "/__pycache__/" not in path}
    outside = [path for path in written if not path.startswith(("/dev/", "/proc/", *map(str, allowed)))]
    assert not outside


def test_hearing_leaves_nothing_in_the_home_and_calls_nobody(bundle, spoken, tmp_path):
    out = tmp_path / "out.jsonl"
    _, calls = run(tmp_path, "predict", spoken[0], "--model", bundle, "--format", "jsonl", "--out", out)
    assert all(path.startswith(".cache/thymos/models/") for path in files_in(tmp_path / "home"))
    assert out.exists()
    check_calls(calls, tmp_path)


def test_listening_leaves_nothing_in_the_home_and_calls_nobody(bundle, tmp_path):
    run_of_silence = bytes(2 * 16_000 * 8)
    _, calls = run(tmp_path, "listen", "-", "--rate", "16000", "--model", bundle, piped=run_of_silence)
    assert all(path.startswith(".cache/thymos/models/") for path in files_in(tmp_path / "home"))
    check_calls(calls, tmp_path)


@pytest.mark.slow
def test_evaluate_and_its_workers_write_to_the_cache_alone(mini, tmp_path):
    words = ("--folds", "2", "--set", "training.epochs=1", "--workers", "2", "--quiet")
    _, calls = run(tmp_path, "evaluate", mini, "--out", tmp_path / "run", *words)
    assert all(path.startswith(".cache/thymos/") for path in files_in(tmp_path / "home"))
    check_calls(calls, tmp_path)


def test_a_program_that_imports_thymos_first_is_private_and_a_user_s_own_word_stands():
    code = "import thymos, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for given, expected in (({}, "1"), ({"ORT_DISABLE_TELEMETRY": ""}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")):
        env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | given
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected


def program(code: str, folder: Path) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run a program of somebody's with its own home; return how it ended, and its calls of the system."""
    home, calls = folder / "home", folder / "calls"
    home.mkdir()
    unset = ("ORT_DISABLE_TELEMETRY", "THYMOS_CACHE", "XDG_CACHE_HOME", "MPLCONFIGDIR", "CI", "GITHUB_ACTIONS")
    env = {name: value for name, value in os.environ.items() if name not in unset}
    env |= {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    watched = [STRACE, "-f", "--seccomp-bpf", "-e", CALLS, "-o", str(calls)] if STRACE else []
    done = subprocess.run([*watched, sys.executable, "-c", code], env=env, capture_output=True, text=True)
    return done, calls.read_text(errors="replace") if STRACE else ""


def test_the_library_calls_nobody(bundle, spoken, tmp_path):
    code = (
        "import thymos; from pathlib import Path\n"
        f"recognizer = thymos.load({str(bundle)!r}, threads=2)\n"
        f"list(recognizer.predict_many([{str(spoken[0])!r}, 'nothing.wav'], timeline=True))\n"
        f"recognizer.explain({str(spoken[0])!r}); recognizer.embed({str(spoken[0])!r})"
    )
    done, calls = program(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(path.startswith(".cache/thymos/models/") for path in files_in(tmp_path / "home"))
    check_calls(calls, tmp_path)


def test_who_imports_onnxruntime_first_is_told():
    first = "import onnxruntime, warnings; warnings.simplefilter('error'); import thymos"
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | {"HOME": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", first], env=env, capture_output=True, text=True)
    assert done.returncode == 1 and "import thymos first, or set ORT_DISABLE_TELEMETRY=1" in done.stderr
    decided = subprocess.run(
        [sys.executable, "-c", first], env=env | {"ORT_DISABLE_TELEMETRY": "1"}, capture_output=True, text=True
    )
    assert decided.returncode == 0, decided.stderr
