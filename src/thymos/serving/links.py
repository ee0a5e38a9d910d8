"""The server's side of a worker process: it is started, asked, watched, and ended by force where it hangs."""

import asyncio
import itertools
import multiprocessing
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from thymos.errors import BundleError, ThymosError
from thymos.serving.frames import FrameError, Head, frame_head, read_frame
from thymos.serving.hearing_process import WorkerSetup, hear_for_server

_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_CONTEXT: Any = multiprocessing.get_context(_METHOD)
_starting = threading.Lock()
START_S = 60.0
"""A worker that is not ready by then never will be."""


class WorkerLostError(ThymosError):
    """A worker died, or was killed, before it answered."""


@dataclass(eq=False)
class WorkerLink:
    """A worker process that is ready. Several may ask it at once; it works on one thing after another."""

    process: Any
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it has died."""
    _numbers: Iterable[int] = field(default_factory=itertools.count)
    _waiting: dict[int, "asyncio.Future[Head]"] = field(default_factory=dict)
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    _listening: "asyncio.Task[None] | None" = None

    @classmethod
    async def start(cls, setup: WorkerSetup) -> "WorkerLink":
        """Start a worker and wait until it has its models.

        Raises:
            BundleError: they cannot be used.
            WorkerLostError: it died, or took too long.
        """
        here, there = socket.socketpair()
        process = _CONTEXT.Process(target=hear_for_server, args=(there, setup), daemon=True)
        await asyncio.to_thread(_start, process)
        there.close()
        reader, writer = await asyncio.open_connection(sock=here)
        link = cls(process, reader, writer)
        try:
            async with asyncio.timeout(START_S):
                hello, _ = await read_frame(reader)
        except (FrameError, TimeoutError):
            await link.end()
            raise WorkerLostError("a worker process died as it started") from None
        if "error" in hello:
            await link.end()
            raise BundleError(hello["error"])
        link._listening = asyncio.create_task(link._listen())
        return link

    async def ask(self, head: Head, content: Iterable[bytes] = (), n_bytes: int = 0) -> Head:
        """Return the worker's answer to ``head`` with ``content``, pieces of ``n_bytes`` together.

        Raises:
            WorkerLostError: it dies before it has answered.
        """
        number = next(iter(self._numbers))
        answer: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            if self.lost.is_set():
                raise FrameError
            async with self._sending:
                self.writer.write(frame_head({"id": number, **head}, n_bytes))
                for piece in content:
                    self.writer.write(piece)
                    await self.writer.drain()
                await self.writer.drain()
            return await answer
        except ConnectionError:
            raise WorkerLostError("the worker that heard it died") from None
        finally:
            self._waiting.pop(number, None)

    @property
    def pid(self) -> int:
        """Of the process."""
        return int(self.process.pid)

    def kill(self) -> None:
        """End the process by force; whoever waits for its answer is told that it is lost."""
        with suppress(OSError, ValueError, AttributeError):
            self.process.kill()

    async def end(self) -> None:
        """End the process by force, and let go of all that belongs to it."""
        self.kill()
        self.writer.close()
        if self._listening is not None:
            self._listening.cancel()
        self._lose()
        await asyncio.to_thread(_bury, self.process)

    async def _listen(self) -> None:
        try:
            while True:
                head, _ = await read_frame(self.reader)
                answer = self._waiting.pop(head.pop("id", -1), None)
                if head.pop("last", False):  # it ends with this
                    self.lost.set()
                if answer is not None and not answer.done():
                    answer.set_result(head)
        except (FrameError, TypeError):
            self._lose()

    def _lose(self) -> None:
        self.lost.set()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(FrameError("the worker has died"))
        self._waiting.clear()


def _start(process: Any) -> None:
    with _starting:  # the process that they are forked from is started once
        if _METHOD == "forkserver":
            # The program itself first: else every worker would import it anew.
            _CONTEXT.set_forkserver_preload(["__main__", "thymos.serving.preloaded"])
        process.start()


def _bury(process: Any) -> None:
    process.join(5.0)
    with suppress(ValueError):
        process.close()
