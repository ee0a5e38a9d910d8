import os
import signal
import time

import pytest

from thymos.errors import RunError
from thymos.evaluation.workers import Report, in_workers


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
    results = dict(in_workers(double, [1, 2, 3], workers, threads=1, on_report=said.append))
    assert results == {1: 2, 2: 4, 3: 6}
    assert sorted(said) == ["at 1", "at 2", "at 3"]


@pytest.mark.parametrize("workers", [1, 2])
def test_error_of_a_task_arrives(workers):
    with pytest.raises(ValueError, match="is bad"):
        list(in_workers(fail, [1, 2], workers, threads=1))


def die_at_two(task: int, report: Report) -> int:
    return die(task, report) if task == 2 else task


def test_other_tasks_go_on_when_a_worker_is_killed():
    results = dict(in_workers(die_at_two, [1, 2, 3, 4], workers=2, threads=1, on_death=lambda task: -task))
    assert results == {1: 1, 2: -2, 3: 3, 4: 4}


def test_killed_worker_is_an_error_and_no_hang():
    with pytest.raises(RunError, match="a worker process was killed"):
        list(in_workers(die, [1, 2], workers=2, threads=1))
