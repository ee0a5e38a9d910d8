"""What the server counts of its work, for Prometheus, and what it logs. Nothing in it is of a recording or a client: no
file name, no sound, no emotion, no address.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class ServerMetrics:
    """Counters of one server."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        own: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("thymos_requests", "Requests answered.", ["route", "status"], **own)
        self.seconds = Histogram("thymos_request_seconds", "Time to answer.", ["route"], buckets=_BUCKETS_S, **own)
        self.active = Gauge("thymos_requests_active", "Requests under way.", **own)
        self.waiting = Gauge("thymos_jobs_waiting", "Recordings that wait for a worker.", **own)
        self.busy = Gauge("thymos_workers_busy", "Workers that hear a recording.", **own)
        self.worker_deaths = Counter("thymos_worker_deaths", "Workers that died, or were killed.", **own)
        self.streams = Gauge("thymos_streams_active", "Live streams.", **own)
        self.sound = Counter("thymos_sound_seconds", "Seconds of sound heard.", ["how"], **own)
        self.hops = Histogram(
            "thymos_stream_answer_seconds", "From sound to its answer in a live stream.", buckets=_BUCKETS_S, **own
        )

    def watch_workers(self, pids: Callable[[], Iterable[int]]) -> None:
        """Tell the memory of the processes whose numbers ``pids`` returns, too."""
        self.registry.register(_WorkerMemory(pids))

    def text(self) -> bytes:
        """Return all as Prometheus reads it."""
        return generate_latest(self.registry)


class _WorkerMemory(Collector):
    def __init__(self, pids: Callable[[], Iterable[int]]):
        self._pids = pids

    def collect(self) -> Iterable[Metric]:
        told = GaugeMetricFamily("thymos_worker_memory_bytes", "Memory of each worker (resident).", labels=["worker"])
        for number, pid in enumerate(sorted(self._pids()), 1):
            resident = resident_bytes(pid)
            if resident is not None:
                told.add_metric([str(number)], resident)
        yield told


def resident_bytes(pid: int) -> int | None:
    """Return how much memory a process has (resident); None where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


LogFormat = Literal["text", "json", "off"]


class ServerLog:
    """Lines on standard error: one a request, and one for each fault."""

    def __init__(self, format: LogFormat, stream: TextIO | None = None):
        """Take how lines are written."""
        self.format, self._stream = format, stream or sys.stderr

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Tell of a request that was answered."""
        told = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1)}
        self._write("request", told, f"{method} {route} {status} {seconds * 1000:.0f} ms")

    def event(self, what: str) -> None:
        """Tell what happens to the server itself."""
        self._write(what, {}, what)

    def fault(self, error: BaseException) -> None:
        """Tell of a fault of the server's own: its kind and where, without any value, which might be a name."""
        places = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-6:]]
        self.told_fault(type(error).__name__, places)

    def told_fault(self, kind: str, places: list[str]) -> None:
        """Tell of a fault that a worker met."""
        self._write("fault", {"kind": kind, "at": places}, f"fault: {kind} at {' < '.join(reversed(places))}")

    def _write(self, event: str, told: dict[str, Any], text: str) -> None:
        if self.format == "off":
            return
        now = datetime.now(UTC)
        if self.format == "json":
            line = json.dumps({"time": now.isoformat(timespec="milliseconds"), "event": event, **told})
        else:
            line = f"{time.strftime('%H:%M:%S')} {text}"
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads it any more, which is no reason to end
            self.format = "off"
