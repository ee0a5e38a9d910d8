"""The simulation of a cluster, on clusters that can be reckoned by hand."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "cluster_simulation.py"


@pytest.fixture(scope="module")
def simulation():
    spec = importlib.util.spec_from_file_location("cluster_simulation", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def told(simulation, shards_s, shard_bytes=0.0, **changes):
    plain = {
        "workers": 2,
        "cores_a_node": 1,
        "each_s": 0.0,
        "start_s": 0.0,
        "link_bytes_s": 100.0,
        "lost_per_node_hour": 0,
    }
    cluster = simulation.Cluster(**plain | changes)
    return simulation.simulated(cluster, np.array(shards_s, float), shard_bytes, np.random.default_rng(0))


def test_workers_share_the_work(simulation):
    even = told(simulation, [1, 1, 1, 1])
    assert (even["wall_s"], even["workers busy, %"], even["nodes"]) == (2.0, 100.0, 2)
    uneven = told(simulation, [3, 1, 1, 1])
    assert (uneven["wall_s"], uneven["workers busy, %"]) == (3.0, 100.0)


def test_one_driver_serves_workers_in_turn(simulation):
    busy = told(simulation, [0.5] * 10, workers=10, each_s=1.0)
    assert busy["wall_s"] == 10.5  # ten turns of a second, and the last one's work
    assert busy["driver busy, %"] == 95.2


def test_a_link_is_shared_by_the_cores_of_a_node(simulation):
    fetching = told(simulation, [1, 1], shard_bytes=50, cores_a_node=2)
    assert fetching["wall_s"] == 2.0  # each has 50 bytes a second
    assert fetching["fetching, % of a shard"] == 50.0


def test_what_a_lost_node_had_is_begun_again(simulation):
    lost = told(simulation, [60] * 200, workers=20, lost_per_node_hour=10)
    assert lost["shards begun again"] > 5
    assert lost["wall_s"] > 600 and lost["workers busy, %"] < 100
