"""The workers that hear live streams: each hears several, in turns, and the answers are told apart by their stream."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from thymos.errors import ThymosError
from thymos.serving.frames import Head
from thymos.serving.hearing_process import WorkerSetup
from thymos.serving.links import WorkerLink, WorkerLostError
from thymos.serving.problems import STATUS_OF_KIND, ProblemError
from thymos.serving.records import ServerMetrics

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
            pause_s = 0.05
            while True:
                try:
                    link = await WorkerLink.start(self.setup)
                    break
                except (ThymosError, OSError):
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, 5.0)


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
