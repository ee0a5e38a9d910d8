import multiprocessing
import os
import signal
import time
from multiprocessing.popen_spawn_posix import Popen

import pytest

from thymos.engine.workers import Report, in_workers
from thymos.errors import RunError


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
    results = dict(in_workers(double, [1, 2, 3], workers, on_report=said.append))
    assert results == {1: 2, 2: 4, 3: 6}
    assert sorted(said) == ["at 1", "at 2", "at 3"]


@pytest.mark.parametrize("workers", [1, 2])
def test_error_of_a_task_arrives(workers):
    with pytest.raises(ValueError, match="is bad"):
        list(in_workers(fail, [1, 2], workers))


def die_at_two(task: int, report: Report) -> int:
    return die(task, report) if task == 2 else task


def test_other_tasks_go_on_when_a_worker_is_killed():
    results = dict(in_workers(die_at_two, [1, 2, 3, 4], workers=2, on_death=lambda task: -task))
    assert results == {1: 1, 2: -2, 3: 3, 4: 4}


def test_killed_worker_is_an_error_and_no_hang():
    with pytest.raises(RunError, match="a worker process was killed"):
        list(in_workers(die, [1, 2], workers=2))


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
        list(in_workers(wait, [1, 2], workers=2))
    assert [worker.poll() for worker in started] == [-signal.SIGKILL] * place
    assert not multiprocessing.active_children()


def test_workers_never_hear_ctrl_c(monkeypatch, capfd):
    launch = Popen._launch

    def launch_and_send(self: Popen, process: object) -> None:
        launch(self, process)
        os.kill(self.pid, signal.SIGINT)  # while it is being imported

    monkeypatch.setattr(Popen, "_launch", launch_and_send)
    assert dict(in_workers(double, [1, 2], workers=2)) == {1: 2, 2: 4}
    assert capfd.readouterr().err == ""


def say_much(task: int, report: Report) -> bytes:
    if task == 2:
        time.sleep(1)
        raise ValueError("enough")
    while True:
        report(bytes(1 << 22))


def slowly(message: bytes) -> None:
    time.sleep(0.05)


def test_worker_that_is_ended_in_the_middle_of_a_message_is_not_waited_for():
    began = time.monotonic()
    with pytest.raises(ValueError, match="enough"):
        list(in_workers(say_much, [1, 2], workers=2, on_report=slowly))
    assert time.monotonic() - began < 60


class TwoWords(Exception):
    def __init__(self, first: str, second: str):
        super().__init__(f"{first} {second}")


def fail_oddly(task: int, report: Report) -> int:
    raise TwoWords("no", "luck")


def test_error_that_cannot_travel_is_told_in_words():
    with pytest.raises(RuntimeError, match="TwoWords: no luck"):
        list(in_workers(fail_oddly, [1, 2], workers=2))
