"""Standard streams that are closed, full, broken or non-blocking: one sentence, and nothing is lost without a word."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

THYMOS = f"'{sys.executable}' -m thymos"


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=folder, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        ("{thymos} --version >&-", 2, "standard output is closed"),
        ("{thymos} --version >/dev/full", 2, "No space left on device"),
        ("{thymos} predict '{sound}' --model '{bundle}' >/dev/full", 2, "No space left on device"),
        ("{thymos} predict '{sound}' --model '{bundle}' --quiet --out /dev/full", 2, "No space left on device"),
        ("{thymos} predict - --model '{bundle}' <&-", 1, "standard input is closed"),
    ],
)
def test_what_cannot_be_read_or_written_is_one_sentence(command, code, sentence, bundle, spoken, tmp_path):
    done = run(command.format(thymos=THYMOS, sound=spoken[0], bundle=bundle), tmp_path)
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("words", ["predict {sounds} --format jsonl", "predict --help", "doctor --json"])
def test_who_stops_reading_ends_a_command_without_a_word(words, bundle, spoken, tmp_path):
    sounds = " ".join(f"'{sound}'" for sound in spoken)
    gone = f"exec 3> >(exit); wait $!; {THYMOS} {words.format(sounds=sounds)} >&3; echo $?"
    done = run(f"export THYMOS_MODEL='{bundle}'; {gone}", tmp_path)
    assert (done.stdout, done.stderr) == ("141\n", "")


@pytest.mark.slow
def test_an_output_that_another_program_left_non_blocking_is_waited_for(tmp_path):
    code = (
        "from thymos.streams import output_told, prepare_streams; prepare_streams()\n"
        "with output_told(): print('\\n'.join(map(str, range(100_000))))"
    )
    read, write = os.pipe()
    os.set_blocking(write, False)
    running = subprocess.Popen([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    time.sleep(1)  # the pipe is full
    with open(read) as pipe:  # noqa: PTH123
        assert [int(line) for line in pipe] == [*range(100_000)]
    assert (running.wait(120), running.stderr.read()) == (0, "")


@pytest.mark.slow
def test_a_closed_error_stream_takes_no_results(bundle, spoken, tmp_path):
    sounds = " ".join(f"'{sound}'" for sound in spoken)
    words = f"predict {sounds} nothing.wav --model '{bundle}' --format jsonl"
    done = run(f"{THYMOS} {words} 2>&-; echo $?", tmp_path)
    *rows, code = done.stdout.splitlines()
    assert code == "1" and len(rows) == len(spoken) + 1 and all(row.startswith('{"file"') for row in rows)
    piped = run(f"{THYMOS} {words} --quiet --out /dev/stdout 2>/dev/null | cat", tmp_path)
    assert piped.stdout.splitlines() == rows


def test_what_a_library_writes_is_not_among_the_lines(tmp_path):
    code = (
        "import ctypes, sys, warnings; from thymos.streams import prepare_streams; prepare_streams()\n"
        "libc = ctypes.CDLL(None); libc.puts(b'note of a library'); libc.fflush(None); warnings.warn('another')\n"
        "print('{}'); print('thymos: note', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{}\n", "thymos: note\n")


@pytest.mark.slow
@pytest.mark.parametrize("words", ["listen - --rate 16000", "predict - --format jsonl"])
def test_standard_input_that_another_program_left_non_blocking_is_waited_for(words, bundle, spoken, tmp_path):
    read, write = os.pipe()
    os.set_blocking(read, False)
    command = [sys.executable, "-m", "thymos", *words.split(), "--model", str(bundle)]
    running = subprocess.Popen(command, stdin=read, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.close(read)
    time.sleep(1)  # it finds nothing yet
    with open(write, "wb") as pipe:  # noqa: PTH123
        pipe.write(bytes(2 * 16_000 * 8) if words.startswith("listen") else Path(spoken[0]).read_bytes())
    said, complained = running.communicate(timeout=120)
    assert running.returncode == 0 and complained == "" and said.startswith("{")
