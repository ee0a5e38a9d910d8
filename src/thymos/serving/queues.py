"""What waits for a worker, and the workers that hear it. Recordings: a bounded queue, one recording a worker. Live
streams: each worker hears several, in turns, and the answers are told apart by their stream.
"""

import asyncio
import itertools
import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from thymos.errors import ThymosError
from thymos.serving.bounds import ServingBounds
from thymos.serving.content import Upload
from thymos.serving.frames import Head
from thymos.serving.hearing_process import WorkerSetup
from thymos.serving.links import WorkerLink, WorkerLostError
from thymos.serving.problems import STATUS_OF_KIND, ProblemError
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
            link = await _started_again(self.setup)
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


ANSWER_S = 20.0
"""For a piece of a stream; a worker that takes longer hangs."""


@dataclass(eq=False)
class LiveStream:
    """A live stream that a worker hears."""

    link: WorkerLink
    name: str

    async def feed(self, content: bytes) -> list[dict[str, Any]]:
        """Return what is heard once raw samples have come in.

        Raises:
            ProblemError: they are no sound.
            WorkerLostError: the worker died, or hangs, and all its streams with it.
        """
        return list((await _asked(self.link, {"do": "feed", "stream": self.name}, content))["events"])

    async def end(self) -> list[dict[str, Any]]:
        """Return what is left to tell once the stream has ended; raises as ``feed``."""
        return list((await _asked(self.link, {"do": "end", "stream": self.name}))["events"])


@dataclass
class StreamWorkers:
    """Some workers for live streams, the least busy of which gets the next."""

    setup: WorkerSetup
    count: int
    metrics: ServerMetrics
    links: dict[WorkerLink, int] = field(default_factory=dict)
    """How many streams each hears."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _watching: list["asyncio.Task[None]"] = field(default_factory=list)

    async def start(self) -> None:
        """Start all workers; see ``WorkerLink.start`` for what is raised."""
        links = await asyncio.gather(*(WorkerLink.start(self.setup) for _ in range(self.count)))
        self._watching = [asyncio.create_task(self._keep(link)) for link in links]

    async def end(self) -> None:
        """End all workers."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        await asyncio.gather(*(link.end() for link in self.links))

    async def open(self, session: Head) -> tuple[LiveStream, list[str]]:
        """Return a new live stream, and the labels that it tells apart.

        Raises:
            ProblemError: it cannot be heard as ``session`` says.
            WorkerLostError: no worker is there.
        """
        there = [link for link in self.links if not link.lost.is_set()]
        if not there:
            raise WorkerLostError("no worker is there to hear a stream; try again soon")
        link = min(there, key=self.links.__getitem__)
        stream = LiveStream(link, str(next(self._numbers)))
        self.links[link] += 1
        try:
            answer = await _asked(link, {"do": "open", "stream": stream.name, **session})
        except BaseException:
            self._leave(stream)
            raise
        return stream, answer["labels"]

    async def close(self, stream: LiveStream) -> None:
        """Forget a stream, ended or not."""
        self._leave(stream)
        with suppress(ThymosError):
            await _asked(stream.link, {"do": "drop", "stream": stream.name})

    def _leave(self, stream: LiveStream) -> None:
        if stream.link in self.links:
            self.links[stream.link] -= 1

    async def _keep(self, link: WorkerLink) -> None:
        """Watch over a worker, and start another one when it is lost."""
        while True:
            self.links[link] = 0
            await link.lost.wait()
            self.metrics.worker_deaths.inc()
            del self.links[link]
            await link.end()
            link = await _started_again(self.setup)


async def _started_again(setup: WorkerSetup) -> WorkerLink:
    """Start a worker in place of one that was lost, however often it takes."""
    pause_s = 0.05
    while True:
        try:
            return await WorkerLink.start(setup)
        except (ThymosError, OSError):
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


async def _asked(link: WorkerLink, head: Head, content: bytes = b"") -> Head:
    try:
        async with asyncio.timeout(ANSWER_S):
            answer = await link.ask(head, [content] if content else (), len(content))
    except TimeoutError:
        link.kill()
        link.lost.set()
        raise WorkerLostError("the worker that heard the stream hangs, and was ended") from None
    except WorkerLostError:
        raise WorkerLostError("the worker that heard the stream died; open another one") from None
    if "error" in answer:
        raise ProblemError(STATUS_OF_KIND.get(answer.get("kind", ""), 500), answer["error"])
    return answer
