"""``thymos predict --watch``: what arrives is heard once it is complete, each once, also after it was killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from thymos.cli import watching
from thymos.cli.watching import SETTLED_S, Arrivals


def names(batch: list) -> list[str]:
    return [recording.inside.name for recording in batch]


def test_a_file_has_arrived_when_it_has_stayed_the_same(spoken, tmp_path):
    content = spoken[0].read_bytes()
    arrivals = Arrivals(str(tmp_path))
    (tmp_path / "a.opus").write_bytes(content[:1000])
    (tmp_path / "notes.txt").write_text("no sound")
    assert arrivals.look(0) == [] and arrivals.look(SETTLED_S - 0.1) == []
    (tmp_path / "a.opus").write_bytes(content)  # it goes on, just before it would count as complete
    (tmp_path / "deep").mkdir()
    shutil.copy(spoken[1], tmp_path / "deep" / "b.opus")
    assert arrivals.look(SETTLED_S) == [] and arrivals.look(2 * SETTLED_S - 0.1) == []
    assert names(arrivals.look(2 * SETTLED_S)) == ["a.opus", "b.opus"]
    assert arrivals.look(3 * SETTLED_S) == [], "each once"
    (tmp_path / "a.opus").write_bytes(content + b"\0")
    os.utime(tmp_path / "a.opus", (1, 1))
    assert arrivals.look(9) == []
    assert names(arrivals.look(9 + SETTLED_S)) == ["a.opus"], "and once more as another"


@pytest.fixture
def start(bundle: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    running: list[subprocess.Popen] = []

    def begin(*words: object) -> subprocess.Popen:
        code = (
            "import sys; from thymos.cli import watching; watching.POLL_S, watching.SETTLED_S = 0.05, 0.2;"
            "from thymos.cli import main; sys.argv[0] = 'thymos'; main()"
        )
        command = [sys.executable, "-c", code, "predict", "--model", str(bundle), *map(str, words)]
        running.append(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


def eventually(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it has not come to be")


def told(out: Path) -> list[str]:
    return [Path(json.loads(line)["file"]).name for line in out.read_text().splitlines()] if out.exists() else []


@pytest.mark.slow
def test_a_killed_watch_goes_on_and_tells_each_once(spoken, tmp_path, start):
    inbox, out = tmp_path / "in", tmp_path / "o.jsonl"
    inbox.mkdir()
    shutil.copy(spoken[0], inbox / "a.opus")
    first = start("--watch", "in", "--out", "o.jsonl")
    eventually(lambda: told(out) == ["a.opus"])
    (inbox / "bad.wav").write_bytes(b"RIFF")
    shutil.copy(spoken[1], inbox / "b.opus")
    eventually(lambda: len(told(out)) == 3)
    first.send_signal(signal.SIGKILL)
    first.wait()
    with out.open("a") as file:
        file.write('{"file": "in/c.op')  # as if killed while it wrote
    shutil.copy(spoken[2], inbox / "c.opus")
    second = start("--watch", "in", "--out", "o.jsonl")
    eventually(lambda: len(told(out)) == 4 if out.read_bytes().endswith(b"\n") else False)
    second.send_signal(signal.SIGINT)
    assert second.wait(60) == 130
    assert sorted(told(out)) == ["a.opus", "b.opus", "bad.wav", "c.opus"]


@pytest.mark.slow
def test_results_beside_what_arrives(spoken, tmp_path, start):
    inbox = tmp_path / "in"
    inbox.mkdir()
    shutil.copy(spoken[0], inbox / "a.opus")
    start("--watch", "in", "--beside", "--format", "textgrid")
    eventually(lambda: (inbox / "a.opus.TextGrid").is_file())
    assert 'name = "emotion"' in (inbox / "a.opus.TextGrid").read_text()


def test_what_cannot_be_is_one_sentence(bundle, tmp_path, spoken, thymos_here: Callable):
    (tmp_path / "in").mkdir()
    for words, said in (
        (("--watch", "nowhere"), "is no folder"),
        (("--watch", "in", spoken[0]), "without PATH"),
        (("--watch", "in", "--adapt"), "without PATH, --adapt"),
        (("--watch", "in", "--out", "o.json"), "--watch has no end"),
        ((), "nothing to hear is named"),
    ):
        done = thymos_here("predict", *words, "--model", bundle)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    (tmp_path / "o.jsonl").write_text("mine\n")
    kept = thymos_here("predict", "--watch", "in", "--out", "o.jsonl", "--model", bundle)
    assert kept.returncode == 2 and (tmp_path / "o.jsonl").read_text() == "mine\n"
    assert watching.POLL_S < watching.SETTLED_S
