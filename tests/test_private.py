"""Private: no connection, no look-up, and no file outside the cache and what was asked for, by us or by a library."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from servers import running

STRACE = shutil.which("strace")
CALLS = "trace=%network,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2"
WRITES = re.compile(
    r'(?:openat?\([^"\n]*"([^"]+)"[^)\n]*O_(?:WRONLY|RDWR|CREAT)|(?:creat|mkdir(?:at)?)\([^"\n]*"([^"]+)")'
)


UNSET = ("ORT_DISABLE_TELEMETRY", "THYMOS_CACHE", "XDG_CACHE_HOME", "MPLCONFIGDIR", "CI", "GITHUB_ACTIONS")
LOOK_UPS = ("/etc/resolv.conf", "/run/nscd", "/systemd/resolve", "htons(53)")
"""What is opened or connected to where a name is looked up."""


def new_home(folder: Path) -> tuple[dict[str, str], Path, list[str]]:
    """An environment with an own home, the file of the calls of the system, and what writes them, to stand before a
    command: nothing where there is no strace."""
    if "COVERAGE_PROCESS_CONFIG" in os.environ:
        pytest.skip("coverage writes down what runs, in every child process")
    home, calls = folder / "home", folder / "calls"
    home.mkdir()
    env = {name: value for name, value in os.environ.items() if name not in UNSET}
    env |= {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    return env, calls, [STRACE, "-f", "--seccomp-bpf", "-e", CALLS, "-o", str(calls)] if STRACE else []


def run(folder: Path, *words: str | Path, piped: bytes = b"") -> tuple[str, str]:
    """Run ``thymos`` as somebody new to it, with an own home; return what it printed, and its calls of the system."""
    env, calls, watched = new_home(folder)
    done = subprocess.run(
        [*watched, sys.executable, "-m", "thymos", *map(str, words)], input=piped, env=env, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode(), calls.read_text(errors="replace") if STRACE else ""


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def check_calls(calls: str, *allowed: Path, serving: bool = False) -> None:
    if serving:  # it waits for those who call it, on this machine, and calls nobody
        families = [line for line in calls.splitlines() if "AF_INET" in line]
        assert all('inet_addr("127.0.0.1")' in line or re.search(r"socket\(AF_INET6?,", line) for line in families)
        assert not any("connect(" in line or "sendto(" in line for line in families)
    else:
        assert "AF_INET" not in calls
    assert not [word for word in LOOK_UPS if word in calls]
    written = {path for match in WRITES.finditer(calls) for path in match.groups() if path}
    # Python itself keeps what it compiles beside a module, where that is not there yet.
    written = {path for path in written if "/__pycache__/" not in path}
    outside = {path for path in written if not path.startswith(("/dev/", "/proc/", *map(str, allowed)))}
    if serving:  # processes of a server meet in a folder for temporary files, and leave none
        outside = {path for path in outside if not path.startswith(tempfile.gettempdir()) or Path(path).exists()}
    assert not outside


@pytest.mark.slow
def test_hearing_leaves_nothing_in_the_home_and_calls_nobody(bundle, spoken, tmp_path):
    out = tmp_path / "out.jsonl"
    _, calls = run(tmp_path, "predict", spoken[0], "--model", bundle, "--format", "jsonl", "--out", out)
    assert all(path.startswith(".cache/thymos/models/") for path in files_in(tmp_path / "home"))
    assert out.exists()
    check_calls(calls, tmp_path)


@pytest.mark.slow
def test_listening_leaves_nothing_in_the_home_and_calls_nobody(bundle, tmp_path):
    run_of_silence = bytes(2 * 16_000 * 8)
    _, calls = run(tmp_path, "listen", "-", "--rate", "16000", "--model", bundle, piped=run_of_silence)
    assert all(path.startswith(".cache/thymos/models/") for path in files_in(tmp_path / "home"))
    check_calls(calls, tmp_path)


@pytest.mark.slow
def test_a_server_leaves_nothing_in_the_home_and_calls_nobody(bundle, spoken, tmp_path):
    env, calls, watched = new_home(tmp_path)
    empty = dict.fromkeys(UNSET, "")
    # -D: what is started is the server, and strace watches from behind.
    before = [*watched[:1], "-D", *watched[1:]] if watched else []
    words = ("--model", str(bundle), "--workers", "1")
    with running(tmp_path / "server", *words, env=env | empty, before=before) as server, server.client() as client:
        assert client.get("/").status_code == 200
        heard = client.post("/v1/predict", content=spoken[0].read_bytes())
        assert heard.status_code == 200 and heard.json()
        assert client.post("/v1/predict", content=b"no sound").status_code == 422
    assert all(path.startswith(".cache/thymos/models/") for path in files_in(tmp_path / "home"))
    if STRACE:
        told = calls.read_text(errors="replace")
        assert "bind(" in told and "listen(" in told, "its calls are seen"
        check_calls(told, tmp_path, serving=True)


@pytest.mark.skipif(not STRACE, reason="strace is not installed")
@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("import socket; socket.socket().connect_ex(('127.0.0.1', 9))", "AF_INET"),
        ("import socket; socket.getaddrinfo('nobody.invalid', 80)", "resolv.conf"),
        ("open({outside!r}, 'w')", "written outside"),
        ("import os; os.mkdir({outside!r})", "written outside"),
    ],
)
def test_what_calls_somebody_or_writes_elsewhere_would_be_seen(tmp_path, code, seen):
    (tmp_path / "own").mkdir()
    _, calls = program(code.format(outside=str(tmp_path / "written outside")), tmp_path / "own")
    assert seen in calls
    with pytest.raises(AssertionError):
        check_calls(calls, tmp_path / "own")


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
    env, calls, watched = new_home(folder)
    done = subprocess.run([*watched, sys.executable, "-c", code], env=env, capture_output=True, text=True)
    return done, calls.read_text(errors="replace") if STRACE else ""


@pytest.mark.slow
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


@pytest.mark.slow
def test_who_imports_onnxruntime_first_is_told():
    first = "import onnxruntime, warnings; warnings.simplefilter('error'); import thymos"
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | {"HOME": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", first], env=env, capture_output=True, text=True)
    assert done.returncode == 1 and "import thymos first, or set ORT_DISABLE_TELEMETRY=1" in done.stderr
    decided = subprocess.run(
        [sys.executable, "-c", first], env=env | {"ORT_DISABLE_TELEMETRY": "1"}, capture_output=True, text=True
    )
    assert decided.returncode == 0, decided.stderr
