"""The Ray engine, on a real cluster of two nodes on this machine."""

import importlib
import importlib.util
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import add_node

from thymos.corpora import Corpus
from thymos.engine.joining import _check_address, _sentence
from thymos.engine.ray_cluster import RayCluster
from thymos.engine.tasks import Report, ThisProcess, engine_named
from thymos.errors import ArgumentError, EngineError, MissingExtraError, RunError, ThymosWarning
from thymos.evaluation.evaluate import Watcher, evaluate
from thymos.evaluation.study import study

if importlib.util.find_spec("ray") is None:
    pytest.skip("needs Ray", allow_module_level=True)


@pytest.fixture(scope="module")
def cluster(ray_home: Path) -> Iterator[Any]:
    """A head and another node, a core each; the head has an accelerator that is none."""
    head = {"num_cpus": 1, "num_gpus": 1, "include_dashboard": False}
    cluster = pytest.importorskip("ray.cluster_utils").Cluster()
    add_node(cluster, **head)
    add_node(cluster, num_cpus=1)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def engine(cluster: Any) -> Iterator[RayCluster]:
    with engine_named(f"ray:{cluster.address}") as engine:
        assert isinstance(engine, RayCluster)
        yield engine


def square(task: int, report: Report) -> tuple[int, str]:
    import ray

    for part in "abc":
        report((task, part))
    time.sleep(0.2)
    return task**2, ray.get_runtime_context().get_node_id()


@pytest.mark.slow
def test_tasks_are_worked_on_by_both_nodes_and_messages_come_in_order(engine: RayCluster) -> None:
    assert engine.capacity() == 2
    said: list[tuple[int, str]] = []
    results = dict(engine.run(square, range(12), on_report=said.append))
    assert {task: result for task, (result, _) in results.items()} == {task: task**2 for task in range(12)}
    assert len({node for _, node in results.values()}) == 2
    assert len(said) == 36
    assert all([part for number, part in said if number == task] == ["a", "b", "c"] for task in range(12))


def fail_at_three(task: int, report: Report) -> int:
    if task == 3:
        raise ValueError("task 3 is bad")
    return task


@pytest.mark.slow
def test_error_of_a_task_arrives_with_its_place_and_the_next_run_goes_on(engine: RayCluster) -> None:
    with pytest.raises(ValueError, match="task 3 is bad") as told:
        list(engine.run(fail_at_three, range(9)))
    assert any("fail_at_three" in note for note in told.value.__notes__)
    assert sorted(task for task, _ in engine.run(fail_at_three, range(3))) == [0, 1, 2]


class OnlyHere:
    """What no worker can take up: its module is nowhere else."""

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, ("a_module_of_the_caller_alone",)


@pytest.mark.slow
@pytest.mark.parametrize("heard", [None, print])
def test_a_task_that_cannot_be_taken_up_is_said(engine: RayCluster, heard: Report | None) -> None:
    """It says nothing, not even that it has ended: to wait for its messages is to wait for ever."""
    with pytest.raises(
        EngineError, match=r"could not be taken up .*: ModuleNotFoundError: .*a_module_of_the_caller_al"
    ):
        list(engine.run(square, [OnlyHere()], on_report=heard))  # type: ignore[list-item]


@pytest.mark.slow
def test_where_nobody_can_work_that_is_said_and_ends(cluster: Any, engine: RayCluster) -> None:
    """Here since this program's other engine keeps both cores."""
    list(engine.run(square, range(4)))
    with (
        RayCluster(cluster.address, start_s=2) as late,
        pytest.warns(ThymosWarning, match="no core of the Ray cluster is free yet; waiting for one, 2 s at most"),
        pytest.raises(EngineError, match=r"has started on the Ray cluster within \d s: its cores, 2 in all, are taken"),
    ):
        list(late.run(square, range(4)))


def add(task: tuple[int, Any], report: Report) -> int:
    number, shared = task
    return number + sum(shared.get())


@pytest.mark.slow
def test_a_shared_value_arrives_with_each_task(engine: RayCluster) -> None:
    shared = engine.share([10, 20])
    assert sorted(result for _, result in engine.run(add, [(i, shared) for i in range(4)])) == [30, 31, 32, 33]


def folder(task: int, report: Report) -> Path:
    return Path.cwd()


@pytest.mark.slow
def test_workers_are_in_the_folder_of_the_call(
    engine: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths mean the same there; workers that an earlier call left are no longer where they were."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert {result for _, result in engine.run(folder, range(4))} == {tmp_path / name}


def die_once(task: Path, report: Report) -> str:
    if not task.exists():
        task.touch()
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    return task.name


@pytest.mark.slow
def test_a_task_whose_worker_is_killed_is_begun_once_more(engine: RayCluster, tmp_path: Path) -> None:
    tasks = [tmp_path / name for name in "abcd"]
    (tmp_path / "a").touch()
    assert dict(engine.run(die_once, tasks)) == {task: task.name for task in tasks}


def die_at_two(task: int, report: Report) -> int:
    if task == 2:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    return task


@pytest.mark.slow
def test_a_task_that_kills_two_workers_is_given_up_and_others_go_on(engine: RayCluster) -> None:
    assert dict(engine.run(die_at_two, range(4), on_death=lambda task: -task)) == {0: 0, 1: 1, 2: -2, 3: 3}
    with pytest.raises(RunError, match="a worker process was killed"):
        list(engine.run(die_at_two, range(4)))


def visible(task: int, report: Report) -> str:
    return os.environ["CUDA_VISIBLE_DEVICES"]


@pytest.mark.slow
def test_accelerators_are_dealt_out(engine: RayCluster) -> None:
    assert engine.capacity(gpus=1) == 1
    assert dict(engine.run(visible, [1, 2], gpus=1)) == {1: "0", 2: "0"}
    with pytest.raises(EngineError, match="a task needs 2 GPUs, and no node of the Ray cluster has more than 1"):
        engine.run(visible, [1], gpus=2)


@pytest.mark.slow
def test_gpus_per_task_are_what_the_caller_says(cluster: Any, engine: RayCluster) -> None:
    engine._taken(0, gpus=0)  # its workers give up their places
    with engine_named(f"ray:{cluster.address}", gpus_per_task=0.5) as halves:
        assert halves.capacity() == 1, "its only core bounds the node that has the GPU"
        assert dict(halves.run(visible, [1, 2])) == {1: "0", 2: "0"}
    with pytest.raises(EngineError, match="a task needs 2 GPUs, and no node of the Ray cluster has more than 1"):
        engine_named(f"ray:{cluster.address}", gpus_per_task=2)
    for wrong in (-1, 1.5, float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match="GPUs per task: it is 0, a part of one"):
            engine_named("ray", gpus_per_task=wrong)


def note_and_wait(task: Path, report: Report) -> str:
    """Write down every beginning; on the node that will be lost, wait for that, and elsewhere until it does."""
    import ray

    with task.open("a") as journal:
        journal.write("begun\n")
    stuck = task.with_name("stuck")
    if task.with_name("doomed").read_text() == ray.get_runtime_context().get_node_id():
        stuck.touch()
        time.sleep(600)
    for _ in range(1200):
        if stuck.exists():
            break
        time.sleep(0.1)
    return task.name


@pytest.mark.slow
def test_tasks_of_a_lost_node_are_begun_again_elsewhere(cluster: Any, engine: RayCluster, tmp_path: Path) -> None:
    tasks = [tmp_path / name for name in "abcdef"]
    other = add_node(cluster, num_cpus=1)
    (tmp_path / "doomed").write_text(other.node_id)
    results: dict[Path, str] = {}
    for task, result in engine.run(note_and_wait, tasks, workers=3):
        if not results:
            assert (tmp_path / "stuck").exists()
            cluster.remove_node(other, allow_graceful=False)
        results[task] = result
    assert results == {task: task.name for task in tasks}
    assert sorted(len(task.read_text().split()) for task in tasks) == [1, 1, 1, 1, 1, 2]


@pytest.mark.slow
def test_a_node_with_other_libraries_is_named(cluster: Any, tmp_path: Path) -> None:
    """Its digits would be others: here it says of itself that it has another Thymos."""
    other = tmp_path / "thymos-9.9.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: thymos\nVersion: 9.9\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    node = add_node(cluster, num_cpus=1, num_gpus=3, env_vars={"PYTHONPATH": path})
    try:
        with (
            engine_named(f"ray:{cluster.address}") as own,
            pytest.raises(EngineError, match=r"the node \S+ of the Ray cluster has thymos 9\.9, and this machine 0"),
        ):
            list(own.run(add, [(1, own.share([1]))], gpus=3))
    finally:
        cluster.remove_node(node)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nowhere", "nowhere is no address of a Ray cluster: it is HOST:PORT of its head"),
        ("localhost:99999", "localhost:99999 is no address of a Ray cluster"),
        ("//head:10001", "ray://head:10001 is an address of Ray's client: start this command on a node"),
    ],
)
def test_an_address_that_is_none_is_said(address: str, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        _check_address(address)


@pytest.mark.slow
def test_an_address_without_a_cluster_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(EngineError, match=f"there is no Ray cluster at 127.0.0.1:{port}: something else answers"):
            _check_address(f"127.0.0.1:{port}")
    with pytest.raises(EngineError, match=f"at 127.0.0.1:{port}: Connection refused; `ray start --head` starts one"):
        _check_address(f"127.0.0.1:{port}")


def test_another_version_of_ray_is_said_in_a_sentence() -> None:
    """In Ray's own words, of a cluster that says it is older."""
    from ray._private.utils import check_version_info

    with pytest.raises(RuntimeError) as told:
        check_version_info({"ray_version": "2.9.3", "python_version": "3.8.1"}, "node 10.0.0.1:6379")
    own = f"Ray {pytest.importorskip('ray').__version__} with Python {platform.python_version()}"
    assert _sentence("head:6379", told.value) == (
        f"the Ray cluster at head:6379 runs Ray 2.9.3 with Python 3.8.1, and this program {own}: use the same in both"
    )


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        MissingExtraError, match=r"^the engine ray needs the library ray: pip install 'thymos\[scale\]'$"
    ):
        engine_named("ray")


# --- studies ---

TINY = "training.epochs: {epochs}, features.n_mels: 16, features.hop: 4096, model.conv_channels: [2]"
STUDY = f"""
name: small
base: {{recipe: model1, folds: 2, set: {{{TINY}, model.dense_units: [4], sound.rate_hz: 8000}}}}
rows:
  - {{name: plain}}
  - name: chosen
    choose:
      candidates:
        - {{name: as it is}}
        - {{name: wider, set: {{"model.conv_channels": [4]}}}}
"""


def numbers_of(folder: Path) -> dict[str, bytes]:
    """All that a study writes of numbers but times."""
    files = [*folder.glob("cells/*.csv"), *folder.glob("rows/*/predictions.csv"), folder / "study.csv"]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.mark.slow
def test_a_study_and_an_evaluation_give_the_bytes_of_one_worker(
    engine: RayCluster, tone_corpus: Corpus, tones_cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("{epochs}", "1"))
    for name, where in (("here", ThisProcess()), ("ray", engine)):
        study(
            tone_corpus,
            tmp_path / "study.yaml",
            tmp_path / name,
            cache_dir=tones_cache,
            device="cpu",
            workers=2 if where is engine else 1,
            engine=where,
        )
    whole = numbers_of(tmp_path / "here")
    assert len(whole) > 8 and numbers_of(tmp_path / "ray") == whole
    told: list[tuple[str, int]] = []
    settings = [change.strip() for change in TINY.format(epochs=3).replace(": ", "=").split(", ")]
    settings += ["sound.rate_hz=8000", "model.dense_units=[4]"]
    runs = [
        evaluate(
            tone_corpus,
            "model1",
            changes=settings,
            folds=2,
            cache_dir=tones_cache,
            device="cpu",
            engine=where,
            watcher=Watcher(on_report=told.append),
        )
        for where in (ThisProcess(), engine)
    ]
    assert runs[0].predictions.equals(runs[1].predictions)
    assert sorted(told[6:]) == sorted(told[:6]) and len(told) == 12, "each epoch is told of, wherever it is"


@pytest.mark.slow
@pytest.mark.skipif(
    "THYMOS_TEST_CLUSTER" not in os.environ,
    reason="beside much other work, Ray at times ends a new command's workers before they begin (THYMOS_TEST_CLUSTER)",
)
def test_a_study_whose_driver_and_then_a_node_are_killed_ends_with_the_same_bytes(
    cluster: Any, engine: RayCluster, mini: Path, tmp_path: Path, thymos_here: Any
) -> None:
    """kill -9 of the command on a cluster; then, while the same command goes on, of a whole node."""
    engine._taken(0, gpus=0)  # this process's workers give up their places, which would be all that are left
    (tmp_path / "study.yaml").write_text(STUDY.replace("{epochs}", "8"))

    def words(out: str, engine: str, workers: str) -> list[str]:
        call = ["study", "study.yaml", "--corpus", str(mini), "--out", out, "--quiet", "--device", "cpu"]
        return [*call, "--cache-dir", str(tmp_path / "cache"), "--engine", engine, "--workers", workers]

    def wait_for_cells(process: subprocess.Popen[bytes], count: int) -> None:
        while len(list((tmp_path / "ray/cells").glob("*.json"))) < count:
            assert process.poll() is None, "it ended before anything could be killed"
            time.sleep(0.02)

    whole = thymos_here(*words("here", "local", "1"))
    assert whole.returncode == 0, whole.stderr
    finished = len(list((tmp_path / "here/cells").glob("*.json")))
    other = add_node(cluster, num_cpus=1)
    on_ray = [sys.executable, "-m", "thymos", *words("ray", f"ray:{cluster.address}", "2")]
    victim = subprocess.Popen(on_ray, cwd=tmp_path)
    wait_for_cells(victim, 1)
    victim.kill()
    victim.wait()
    done = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "ray/cells").glob("*.json")}
    assert 1 <= len(done) < finished
    resumed = subprocess.Popen(on_ray, cwd=tmp_path, stderr=subprocess.PIPE)
    wait_for_cells(resumed, len(done) + 1)
    cluster.remove_node(other, allow_graceful=False)
    _, said = resumed.communicate()
    assert resumed.returncode == 0, said
    assert numbers_of(tmp_path / "ray") == numbers_of(tmp_path / "here")
    again = {name: (tmp_path / "ray/cells" / name).stat().st_mtime_ns for name in done}
    assert again == done, "what was done is not done again"


@pytest.mark.slow
def test_a_cluster_of_ones_own_leaves_nothing_and_ends_with_ctrl_c(mini: Path, tmp_path: Path) -> None:
    """Nothing in the home folder, no process, exit code 130."""
    (tmp_path / "study.yaml").write_text(STUDY.replace("{epochs}", "15"))
    home = tmp_path / "home"
    home.mkdir()
    call = [sys.executable, "-m", "thymos", "study", "study.yaml", "--corpus", str(mini), "--out", "out"]
    call += ["--cache-dir", str(tmp_path / "cache"), "--engine", "ray", "--workers", "1"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    short = Path(tempfile.mkdtemp(prefix="t-"))
    running = subprocess.Popen(
        call, cwd=tmp_path, env=environment | {"HOME": str(home), "TMPDIR": str(short)}, stderr=subprocess.PIPE
    )
    while not list((tmp_path / "out/cells").glob("*.json")):
        assert running.poll() is None
        time.sleep(0.05)
    mark = f"{short}/thymos-ray-"
    assert any(mark in words for words in command_lines())
    running.send_signal(signal.SIGINT)
    _, said = running.communicate()
    assert running.returncode == 130 and b"interrupted; the same command goes on" in said
    assert not list(home.rglob("*"))
    deadline = time.monotonic() + 120
    while left := [words for words in command_lines() if mark in words]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    shutil.rmtree(short, ignore_errors=True)


def command_lines() -> Iterator[str]:
    """What each process of this machine was called with."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield file.read_text().replace("\0", " ")
        except OSError:
            continue  # it has ended
