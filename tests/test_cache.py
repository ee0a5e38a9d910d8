"""Where the cache is, and folders in it that are written whole or not at all, by several processes perhaps."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from thymos.cache import cache_place, raw_to_npy, whole_folder


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THYMOS_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache_place() == Path("/a")
    monkeypatch.delenv("THYMOS_CACHE")
    assert cache_place() == Path("/b/thymos")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/c")
    assert cache_place() == Path("/c/.cache/thymos")


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with whole_folder(folder) as temporary:
        (temporary / "x").write_text("1")
        assert not folder.exists()
    assert (folder / "x").read_text() == "1"
    assert [path.name for path in folder.parent.iterdir()] == ["b"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "b") as temporary:
        (temporary / "x").write_text("1")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_who_is_faster_wins_and_the_other_does_not_mind(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "b") as mine:
        (mine / "x").write_text("mine")
        with whole_folder(tmp_path / "b") as theirs:
            (theirs / "x").write_text("theirs")
    assert (tmp_path / "b/x").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_only_what_dead_processes_of_this_machine_left_is_cleared_away(tmp_path: Path) -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    node = platform.node()
    dead = tmp_path / f".b.{node}.{done.pid}.abc"
    others = [
        tmp_path / f".b.{node}.{os.getpid()}.abc",
        tmp_path / f".b.not-{node}.{done.pid}.abc",
        tmp_path / f".c.{node}.{done.pid}.abc",
    ]
    for folder in (dead, *others):
        folder.mkdir()
    with whole_folder(tmp_path / "b"):
        pass
    assert not dead.exists()
    assert all(folder.is_dir() for folder in others)


@pytest.mark.parametrize("dtype", ["<f4", "<f2"])
def test_raw_values_get_a_header(tmp_path: Path, dtype: str) -> None:
    values = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    raw = tmp_path / "values.raw"
    raw.write_bytes(values.tobytes())
    raw_to_npy(raw, tmp_path / "values.npy", values.shape, dtype)
    read = np.load(tmp_path / "values.npy", mmap_mode="r")
    assert read.dtype == values.dtype
    np.testing.assert_array_equal(read, values)
    assert not raw.exists()


@pytest.mark.slow
def test_without_a_home_or_where_it_cannot_be_written_a_passing_folder_serves_and_is_said(tmp_path):
    code = (
        "import pathlib; from thymos.cache import default_cache_dir; place = default_cache_dir(); "
        "assert place == default_cache_dir(); (place / 'x').write_text('y'); print(place)"
    )
    file = tmp_path / "file"
    file.write_text("no folder")
    for given in ({"HOME": "/proc/none"}, {"THYMOS_CACHE": str(file / "cache")}):
        env = {name: value for name, value in os.environ.items() if name not in ("THYMOS_CACHE", "XDG_CACHE_HOME")}
        done = subprocess.run([sys.executable, "-c", code], env=env | given, capture_output=True, text=True, check=True)
        assert done.stderr.count("nothing is kept for the next time: set THYMOS_CACHE") == 1
        assert not Path(done.stdout.strip()).exists()  # it ends with its process


def test_a_user_without_a_home_has_no_place(monkeypatch):
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("THYMOS_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    assert cache_place() is None
