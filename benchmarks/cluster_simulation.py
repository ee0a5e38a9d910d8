"""What a thousand workers would do, reckoned from what one does here: a simulation, not a measurement.

    python benchmarks/cluster_simulation.py [--hours 1000] [--workers 100 1000] [--minutes-a-shard 10] [--each-ms 3]

Recordings are packed into shards, a driver hands them out one after another, and a worker fetches a shard's bytes over
its node's network, then decodes and hears it. How long hearing takes is measured first, on the mini corpus with the
shipped recogniser, one thread; its spread is drawn from those measurements. How long the driver takes over a task is
given by --each-ms (`benchmarks/engines.py` measures it: nothing_ms). Nodes are lost by chance, and cost the shards that
they had. What bounds the whole is told: the workers, the driver, or the network.
"""

import argparse
import heapq
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MINI = Path(__file__).resolve().parents[1] / "data" / "mini-aesdd"


@dataclass(frozen=True)
class Cluster:
    """What is assumed; every number can be given on the command line."""

    workers: int
    cores_a_node: int
    each_s: float
    start_s: float
    link_bytes_s: float
    lost_per_node_hour: float


def measured(files: int) -> np.ndarray:
    """Return seconds of computing for each second of sound, of so many recordings, one thread."""
    import thymos

    recognizer = thymos.load()
    chosen = sorted(MINI.glob("*/*.opus"))[:files]
    recognizer.predict(chosen[0])
    told = []
    for file in chosen:
        began = time.process_time()
        prediction = recognizer.predict(file)
        told.append((time.process_time() - began) / prediction.duration_s)
    return np.array(told)


def simulated(
    cluster: Cluster, shards_s: np.ndarray, shard_bytes: float, random: np.random.Generator
) -> dict[str, float]:
    """Return how long ``shards_s`` (seconds of work each) take the cluster, and how busy its parts are."""
    nodes = -(-cluster.workers // cluster.cores_a_node)
    fetch_s = shard_bytes / (cluster.link_bytes_s / min(cluster.cores_a_node, cluster.workers))
    lost_s = cluster.lost_per_node_hour / 3600 / cluster.cores_a_node
    free = [
        (cluster.start_s * float(wait), worker) for worker, wait in enumerate(random.uniform(0.5, 1.5, cluster.workers))
    ]
    heapq.heapify(free)
    driver_s = busy_s = ended_s = 0.0
    again = 0
    waiting = list(shards_s[::-1])
    while waiting:
        work_s = waiting.pop()
        at, worker = heapq.heappop(free)
        # The driver is one process: hands are served in turn.
        driver_s = max(driver_s, at) + cluster.each_s
        took_s = fetch_s + float(work_s)
        if random.random() < took_s * lost_s:
            waiting.append(work_s)
            again += 1
            heapq.heappush(
                free, (driver_s + took_s * float(random.random()) + 60, worker)
            )  # another node takes a minute
            continue
        busy_s += float(work_s)
        ended_s = max(ended_s, driver_s + took_s)
        heapq.heappush(free, (driver_s + took_s, worker))
    return {
        "wall_s": round(ended_s, 1),
        "workers busy, %": round(100 * busy_s / (ended_s * cluster.workers), 1),
        "driver busy, %": round(100 * cluster.each_s * (len(shards_s) + again) / ended_s, 1),
        "fetching, % of a shard": round(100 * fetch_s / (fetch_s + float(shards_s.mean())), 1),
        "shards": len(shards_s),
        "shards begun again": again,
        "nodes": nodes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--minutes-a-shard", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--each-ms", type=float, default=3.0, help="The driver's part in a task.")
    parser.add_argument("--start-s", type=float, default=10.0, help="Until a worker has loaded its model.")
    parser.add_argument("--cores-a-node", type=int, default=16)
    parser.add_argument("--gbit", type=float, default=10.0, help="Network of a node.")
    parser.add_argument("--kbit", type=float, default=256.0, help="Of sound: 256 is 16-bit PCM at 16 kHz.")
    parser.add_argument("--lost", type=float, default=0.01, help="Nodes lost, of each in an hour.")
    parser.add_argument("--files", type=int, default=40, help="Recordings that are measured.")
    asked = parser.parse_args()
    cost = measured(asked.files)
    print(json.dumps({"cpu_s per s of sound": round(float(cost.mean()), 5), "spread": round(float(cost.std()), 5)}))
    for minutes in asked.minutes_a_shard:
        shards = round(asked.hours * 60 / minutes)
        for workers in asked.workers:
            random = np.random.default_rng(0)
            # A shard is many recordings: its cost is the mean of as many draws (4 s each, as in AESDD).
            draws = max(1, round(minutes * 60 / 4))
            mean = random.normal(cost.mean(), cost.std() / draws**0.5, shards).clip(cost.min())
            cluster = Cluster(
                workers, asked.cores_a_node, asked.each_ms / 1000, asked.start_s, asked.gbit * 125e6, asked.lost
            )
            told = simulated(cluster, mean * minutes * 60, minutes * 60 * asked.kbit * 125, random)
            print(json.dumps({"workers": workers, "minutes a shard": minutes, **told}))


if __name__ == "__main__":
    main()
