"""What the server counts, for Prometheus. Nothing in it is of a recording: no name, no emotion."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

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
