"""``thymos predict --engine ray`` on a real cluster of two nodes: a worker, a node and the command itself are killed in
the middle, and files say the same as if nothing had been."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clusters import add_node, kill, workers_of

from thymos.cli.journal import journal_path
from thymos.cli.spread import SpreadRecognizer
from thymos.engine.tasks import engine_named
from thymos.errors import BundleError, EngineError
from thymos.runtime.recognizer import load

WAIT_S = 300
UNUSED = 777
"""A number under which no worker has a file open."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for as Linux lists them"),
]


def sounds(folder: Path, mini: Path, count: int) -> Path:
    """Links to recordings, and bad ones among them."""
    clips = sorted(mini.glob("*/*"))[::15]
    folder.mkdir()
    for number in range(count):
        if number % 50 == 7:
            (folder / f"{number:04d}.wav").write_bytes(b"RIFF")
        else:
            os.link(clips[number % len(clips)].resolve(), folder / f"{number:04d}.opus")
    return folder


class Run:
    """A command at work, and what its journal tells, line by line."""

    def __init__(self, command: list[str], out: Path):
        self._running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._journal = journal_path(out)

    def told(self) -> list[str]:
        """Return the lines of the journal that are whole, without their first; none is there twice."""
        try:
            lines = self._journal.read_text(encoding="utf-8").split("\n")[1:-1]
        except FileNotFoundError:
            return []
        assert len(lines) == len({*lines}), "nothing is heard twice"
        return lines

    def wait(self, until: Callable[[list[str]], bool]) -> list[str]:
        deadline = time.monotonic() + WAIT_S
        while not until(lines := self.told()):
            assert self._running.poll() is None, self._running.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return lines

    def kill(self) -> None:
        kill(self._running.pid)
        self._running.communicate()

    def ended(self) -> tuple[int, str]:
        said = self._running.communicate(timeout=WAIT_S)[1]
        return self._running.returncode, said


def test_worker_node_and_command_killed_in_the_middle(bundle, mini, tmp_path, ray_home, ray_cluster: Any):
    folder = sounds(tmp_path / "sounds", mini, 600)
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    plain = [sys.executable, "-m", "thymos", "predict", str(folder), "--timeline", "--model", str(bundle)]
    assert subprocess.run([*plain, "--out", whole], capture_output=True).returncode == 1
    command = [*plain, "--engine", f"ray:{ray_cluster.address}", "--out", str(out)]

    run = Run(command, out)
    known = run.wait(lambda lines: len(lines) >= 80)
    kill(workers_of(ray_home)[0])
    known = run.wait(lambda lines: len(lines) >= len(known) + 80)
    ray_cluster.remove_node(next(iter(ray_cluster.worker_nodes)), allow_graceful=False)
    known = run.wait(lambda lines: len(lines) >= len(known) + 80)
    run.kill()
    before = run.told()
    assert 240 <= len(before) < 600

    add_node(ray_cluster, num_cpus=1)
    run = Run(command, out)
    after = run.wait(lambda lines: len(lines) > len(before))
    assert after[: len(before)] == before, "what was known is known"
    code, said = run.ended()
    assert code == 1 and f"{len(before)} were known from an earlier run" in said, said
    assert out.read_bytes() == whole.read_bytes()
    assert not journal_path(out).exists()


def test_parts_by_a_cluster_are_those_of_this_process(bundle, mini, tmp_path, ray_cluster: Any, thymos_here):
    folder = sounds(tmp_path / "sounds", mini, 40)
    words = ["predict", folder, "--model", bundle, "--quiet"]
    assert thymos_here(*words, "--out", tmp_path / "whole.parquet").returncode == 1
    done = thymos_here(
        *words, "--engine", f"ray:{ray_cluster.address}", "--format", "parquet", "--out", tmp_path / "parts"
    )
    assert done.returncode == 1, done.stderr
    (part,) = (tmp_path / "parts").glob("part-*.parquet")
    assert part.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_node_without_the_files_or_the_model_is_named(bundle, mini, tmp_path, ray_cluster: Any):
    """Files that only this process sees, through its open folder; a model that goes once this process has it."""
    clip = sorted(mini.glob("*/*"))[0]
    model = shutil.copytree(bundle, tmp_path / "mine")
    with engine_named(f"ray:{ray_cluster.address}") as engine:
        opened = os.open(clip.parent, os.O_RDONLY)
        try:
            os.dup2(opened, UNUSED)
            seen = Path(f"/proc/self/fd/{UNUSED}/{clip.name}")
            assert seen.exists()
            with pytest.raises(
                EngineError, match=r"is not on the machine \S+: all machines of a cluster must see the fi"
            ):
                list(SpreadRecognizer(load(bundle), engine, 1).predict_many([seen]))
        finally:
            os.close(opened)
            os.close(UNUSED)
        spread = SpreadRecognizer(load(model), engine, 1)
        shutil.rmtree(model)
        with pytest.raises(BundleError, match=rf"on the machine \S+: .*{model.name}"):
            list(spread.predict_many([clip]))


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere"])
def test_an_address_without_a_cluster_is_one_sentence(bundle, mini, thymos_here, address):
    done = thymos_here("predict", mini, "--model", bundle, "--engine", f"ray:{address}", "--quiet")
    assert done.returncode == 2 and address in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_a_head_that_is_gone_is_said(bundle, mini, tmp_path, ray_cluster: Any):
    """Ray itself would end the command after a minute, with code 1 and without a word. The cluster ends with this."""
    folder, out = sounds(tmp_path / "sounds", mini, 600), tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "thymos", "predict", str(folder), "--model", str(bundle), "--out", str(out)]
    run = Run([*command, "--engine", f"ray:{ray_cluster.address}", "--workers", "1"], out)
    run.wait(lambda lines: len(lines) >= 16)
    ray_cluster.head_node.kill_gcs_server()
    code, said = run.ended()
    assert code == 2 and "thymos: the head of the Ray cluster is gone: start the cluster, and the same" in said, said
    assert len(run.told()) >= 16
