"""Recordings that wait for a worker, and the workers that hear them: a bounded queue, one recording a worker."""

import asyncio
import math
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from thymos.errors import ThymosError
from thymos.serving.bounds import ServingBounds
from thymos.serving.content import Upload
from thymos.serving.frames import Head
from thymos.serving.hearing_process import WorkerSetup
from thymos.serving.links import WorkerLink, WorkerLostError
from thymos.serving.records import ServerMetrics

LONGEST_PAUSE_S = 5.0
"""Before a worker is started again where they die as they start."""


class BusyError(ThymosError):
    """As many recordings wait as may.

    Attributes:
        retry_s: in how many seconds there may be room.
    """

    def __init__(self, sentence: str, retry_s: int):
        super().__init__(sentence)
        self.retry_s = retry_s


class WorkerHungError(ThymosError):
    """A worker did not answer in time, and was killed."""


@dataclass(eq=False)
class Job:
    """A recording to hear. Its upload is closed once it is answered, or nobody waits for it any more."""

    head: Head
    upload: Upload
    answer: "asyncio.Future[Head]"

    def tell(self, answer: Head | ThymosError) -> None:
        """Let the answer be known, if anybody still waits for it."""
        self.upload.close()
        if self.answer.done():
            return
        if isinstance(answer, ThymosError):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


class JobQueue:
    """Some workers, and what waits for them."""

    def __init__(self, setup: WorkerSetup, workers: int, bounds: ServingBounds, metrics: ServerMetrics):
        """Take what a worker is, how many there shall be, and how much may wait."""
        self.setup, self.workers, self.bounds, self.metrics = setup, workers, bounds, metrics
        self.links: set[WorkerLink] = set()
        self._waiting: deque[Job] = deque()
        self._changed = asyncio.Condition()
        self._at_work: list[asyncio.Task[None]] = []
        self._mean_s = 1.0

    async def start(self) -> None:
        """Start all workers.

        Raises:
            BundleError: a model cannot be used.
            WorkerLostError: one died as it started.
        """
        first = [await WorkerLink.start(self.setup)]  # the others are forked once the models have been read
        first += await asyncio.gather(*(WorkerLink.start(self.setup) for _ in range(self.workers - 1)))
        self.links |= set(first)
        self._at_work = [asyncio.create_task(self._keep_working(link)) for link in first]

    async def end(self) -> None:
        """End all workers, whatever they do."""
        for task in self._at_work:
            task.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)
        for job in self._waiting:
            job.tell(WorkerLostError("the server ends"))
        await asyncio.gather(*(link.end() for link in self.links))

    @property
    def ready(self) -> int:
        """How many workers are there."""
        return sum(not link.lost.is_set() for link in self.links)

    async def submit(self, head: Head, upload: Upload) -> Job:
        """Have a recording heard; await the job's ``answer``, or cancel it.

        Raises:
            BusyError: too many wait.
        """
        self._drop_abandoned()
        if len(self._waiting) >= self.bounds.queue:
            upload.close()
            raise BusyError(f"{len(self._waiting)} recordings wait to be heard, as many as may", self._retry_s())
        job = Job(head, upload, asyncio.get_running_loop().create_future())
        async with self._changed:
            self._waiting.append(job)
            self.metrics.waiting.set(len(self._waiting))
            self._changed.notify()
        return job

    def _retry_s(self) -> int:
        return max(1, min(60, math.ceil(self._mean_s * (len(self._waiting) + 1) / self.workers)))

    def _drop_abandoned(self) -> None:
        for job in [job for job in self._waiting if job.answer.done()]:
            self._waiting.remove(job)
            job.upload.close()

    async def _keep_working(self, link: WorkerLink) -> None:
        """Have ``link`` work, and the one that follows it when it is lost, for as long as there is a server."""
        while True:
            await self._work(link)
            self.metrics.worker_deaths.inc()
            self.links.discard(link)
            await link.end()
            pause_s = 0.05
            while True:
                try:
                    link = await WorkerLink.start(self.setup)
                    break
                except (ThymosError, OSError):
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self.links.add(link)

    async def _work(self, link: WorkerLink) -> None:
        """Hand ``link`` one recording after another until it is lost."""
        watch = asyncio.create_task(self._wake_when_lost(link))
        try:
            while (job := await self._next(link)) is not None:
                if job.answer.done():
                    job.upload.close()
                else:
                    await self._hear(link, job)
        finally:
            watch.cancel()

    async def _hear(self, link: WorkerLink, job: Job) -> None:
        began_s = time.monotonic()
        try:
            with self.metrics.busy.track_inprogress():
                async with asyncio.timeout(self.bounds.job_s):
                    answer: Head | ThymosError = await link.ask(job.head, job.upload.pieces(), job.upload.n_bytes)
        except TimeoutError:
            link.kill()
            link.lost.set()
            answer = WorkerHungError(f"took longer than {self.bounds.job_s:g} seconds to hear, so it was given up")
        except WorkerLostError:
            answer = WorkerLostError("the worker process that heard it died; nothing else was lost")
        except asyncio.CancelledError:
            job.tell(WorkerLostError("the server ends"))
            raise
        except Exception:
            link.kill()  # it may wait for the rest of what was being sent
            job.tell(WorkerLostError("could not be handed to a worker, by a fault of the server"))
            raise
        seconds = time.monotonic() - began_s
        self._mean_s += 0.1 * (seconds - self._mean_s)
        job.tell(answer)

    async def _next(self, link: WorkerLink) -> Job | None:
        """Return what ``link`` shall hear next; None once it is lost."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting or link.lost.is_set())
            if link.lost.is_set():
                return None
            job = self._waiting.popleft()
            self.metrics.waiting.set(len(self._waiting))
            return job

    async def _wake_when_lost(self, link: WorkerLink) -> None:
        with suppress(asyncio.CancelledError):
            await link.lost.wait()
            async with self._changed:
                self._changed.notify_all()

    def describe(self) -> dict[str, Any]:
        """Return how many workers there are and how much waits, as JSON has it."""
        return {"workers": self.ready, "waiting": len(self._waiting)}
