import importlib
import multiprocessing
import os
import signal
import time
from multiprocessing.popen_spawn_posix import Popen
from pathlib import Path
from typing import Any

import pytest

from thymos.engine.tasks import Report, ThisProcess, engine_named
from thymos.engine.workers import LocalProcesses
from thymos.errors import ArgumentError, RunError


def double(task: int, report: Report) -> int:
    report(f"at {task}")
    time.sleep(0.5)  # the message is on its way while the work goes on, as it is in a fold
    return 2 * task


def fail(task: int, report: Report) -> int:
    raise ValueError(f"task {task} is bad")


def die(task: int, report: Report) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(10)
    return task


@pytest.mark.parametrize("workers", [1, 2])
def test_results_and_reports_arrive(workers):
    said = []
    results = dict(LocalProcesses().run(double, [1, 2, 3], workers, on_report=said.append))
    assert results == {1: 2, 2: 4, 3: 6}
    assert sorted(said) == ["at 1", "at 2", "at 3"]


@pytest.mark.parametrize("workers", [1, 2])
def test_error_of_a_task_arrives(workers):
    with pytest.raises(ValueError, match="is bad"):
        list(LocalProcesses().run(fail, [1, 2], workers))


class OnlyHere:
    """What no worker can take up: its module is nowhere else."""

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, ("a_module_of_the_caller_alone",)


def test_a_task_that_cannot_be_taken_up_is_said():
    with pytest.raises(ModuleNotFoundError, match="a_module_of_the_caller_alone"):
        list(LocalProcesses().run(double, [OnlyHere()], 2))  # type: ignore[list-item]


def die_at_two(task: int, report: Report) -> int:
    return die(task, report) if task == 2 else task


@pytest.mark.slow
def test_other_tasks_go_on_when_a_worker_is_killed():
    results = dict(LocalProcesses().run(die_at_two, [1, 2, 3, 4], workers=2, on_death=lambda task: -task))
    assert results == {1: 1, 2: -2, 3: 3, 4: 4}


def test_killed_worker_is_an_error_and_no_hang():
    with pytest.raises(RunError, match="a worker process was killed"):
        list(LocalProcesses().run(die, [1, 2], workers=2))


def wait(task: int, report: Report) -> int:
    time.sleep(300)
    return task


@pytest.mark.parametrize("place", [1, 2])
def test_interruption_while_a_worker_starts_leaves_none(monkeypatch, place):
    """It comes when the process is there, and before the parent has written down that it is."""
    started = []
    launch = Popen._launch

    def launch_and_interrupt(self: Popen, process: object) -> None:
        launch(self, process)
        started.append(self)
        if len(started) == place:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Popen, "_launch", launch_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(LocalProcesses().run(wait, [1, 2], workers=2))
    assert [worker.poll() for worker in started] == [-signal.SIGKILL] * place
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_workers_never_hear_ctrl_c(monkeypatch, capfd):
    launch = Popen._launch

    def launch_and_send(self: Popen, process: object) -> None:
        launch(self, process)
        os.kill(self.pid, signal.SIGINT)  # while it is being imported

    monkeypatch.setattr(Popen, "_launch", launch_and_send)
    assert dict(LocalProcesses().run(double, [1, 2], workers=2)) == {1: 2, 2: 4}
    assert capfd.readouterr().err == ""


def say_much(task: int, report: Report) -> bytes:
    if task == 2:
        time.sleep(1)
        raise ValueError("enough")
    while True:
        report(bytes(1 << 22))


def slowly(message: bytes) -> None:
    time.sleep(0.05)


@pytest.mark.slow
def test_worker_that_is_ended_in_the_middle_of_a_message_is_not_waited_for():
    began = time.monotonic()
    with pytest.raises(ValueError, match="enough"):
        list(LocalProcesses().run(say_much, [1, 2], workers=2, on_report=slowly))
    assert time.monotonic() - began < 60


def die_once(task: Path, report: Report) -> str:
    """Kill the worker that takes it up first."""
    if not task.exists():
        task.touch()
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(10)
    return task.name


@pytest.mark.slow
def test_a_task_whose_worker_is_killed_is_begun_once_more(tmp_path):
    tasks = [tmp_path / name for name in "abc"]
    assert dict(LocalProcesses().run(die_once, tasks, workers=2)) == {task: task.name for task in tasks}


def add_up(task: tuple[int, Any], report: Report) -> int:
    number, shared = task
    return number + sum(shared.get())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shared_value_arrives_with_each_task(workers):
    with engine_named("local") as engine:
        shared = engine.share([1, 2])
        results = engine.run(add_up, [(number, shared) for number in range(4)], workers)
        assert sorted(result for _, result in results) == [3, 4, 5, 6]


@pytest.mark.parametrize("engine", [ThisProcess(), LocalProcesses()])
def test_tasks_are_drawn_as_workers_get_free_and_closing_cancels_the_rest(engine):
    drawn = []

    def tasks():
        for number in range(1000):
            drawn.append(number)
            yield number

    results = engine.run(double, tasks(), 2)
    assert next(results)[1] in (0, 2)
    results.close()
    assert len(drawn) <= 4
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("name", ["", "slurm", "ray:", "localhost", "Ray"])
def test_an_engine_that_is_none_is_named(name):
    with pytest.raises(ArgumentError, match="there is no engine"):
        engine_named(name)
    with pytest.raises(ArgumentError, match="GPUs per task are dealt out by Ray: give them with --engine ray"):
        engine_named("local", gpus_per_task=1)


class TwoWords(Exception):
    def __init__(self, first: str, second: str):
        super().__init__(f"{first} {second}")


def fail_oddly(task: int, report: Report) -> int:
    raise TwoWords("no", "luck")


def test_error_that_cannot_travel_is_told_in_words():
    with pytest.raises(RuntimeError, match="TwoWords: no luck"):
        list(LocalProcesses().run(fail_oddly, [1, 2], workers=2))
