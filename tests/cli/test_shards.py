"""``thymos predict --shard i/n`` and ``thymos merge``: parts of a list heard apart are, joined, one run's own bytes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from thymos.cli.inputs import NamedRecording, find_recordings
from thymos.cli.parts import ShardMark, of_shard
from thymos.errors import ArgumentError


def listed(folder: Path, sizes: list[int]) -> list[NamedRecording]:
    folder.mkdir()
    for number, size in enumerate(sizes):
        (folder / f"{number:04d}.wav").write_bytes(bytes(size))
    return find_recordings([str(folder)])


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_disjoint_complete_and_about_as_large(tmp_path, count):
    # One file of half the bytes, sizes that grow along the list, and empty ones.
    recordings = listed(tmp_path / "sounds", [*range(100, 1_300, 10), 84_000, *[0] * 50])
    shards = [of_shard(recordings, f"{number}/{count}") for number in range(1, count + 1)]
    names = [recording.name for shard in shards for recording in shard]
    assert sorted(names) == [recording.name for recording in recordings]
    assert all([each.name for each in shard] == sorted(each.name for each in shard) for shard in shards), "in order"
    loads = sorted(sum(each.n_bytes for each in shard) for shard in shards)
    if count == 2:
        assert loads == [83_400, 84_000]
    if count > 2:
        assert loads[-1] == 84_000 and loads[-2] - loads[0] < 300, "the large one by itself, all others evenly"
    again = of_shard(recordings, f"{count}/{count}")
    assert again == shards[-1]


def test_empty_files_are_shared_out(tmp_path):
    recordings = listed(tmp_path / "sounds", [0] * 9)
    assert [len(of_shard(recordings, f"{number}/3")) for number in (1, 2, 3)] == [3, 3, 3]


def test_parts_of_one_file_share_its_bytes(tmp_path):
    (long, short) = listed(tmp_path / "sounds", [3_000, 1_000])
    parts = [NamedRecording(f"{long.name}#t={s}", long.path, long.inside, start_s=float(s)) for s in range(3)]
    assert len(of_shard([*parts, short], "1/2")) == len(of_shard([*parts, short], "2/2")) == 2


@pytest.mark.parametrize("words", ["0/2", "3/2", "2", "a/b", "-1/2", "1/0", "1/2/3", ""])
def test_what_is_no_shard_is_one_sentence(words, tmp_path):
    with pytest.raises(ArgumentError, match=r"--shard says which of how many"):
        of_shard([], words)


def test_a_mark_is_read_back_and_nothing_else_is():
    mark = ShardMark(2, 8, 17, 2_000, "0123456789ab")
    assert ShardMark.parsed(str(mark)) == mark
    for other in ("", None, 3, "9/8:1/2:0123456789ab", "1/8:2/2:0123456789ab", "1/8:1/2:0123"):
        assert ShardMark.parsed(other) is None


@pytest.fixture
def folder(mini: Path, tmp_path: Path) -> Path:
    """Seven recordings, two of them bad; one has a name that a table must quote, and one nobody who speaks."""
    root = tmp_path / "sounds"
    root.mkdir()
    for number, clip in enumerate(sorted(mini.glob("*/*"))[::33][:4]):
        shutil.copy(clip, root / f"{number:02d}{clip.suffix}")
    shutil.copy(clip, root / f'=a, "b"{clip.suffix}')
    (root / "01 bad.wav").write_bytes(b"RIFF")
    (root / "empty.flac").touch()
    return root


@pytest.mark.slow
@pytest.mark.parametrize("timeline", [False, True])
@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_merged_shards_are_one_runs_bytes(bundle, folder, thymos_here, tmp_path, suffix, timeline):
    words = ["predict", folder, "--model", bundle, "--quiet", *(["--timeline"] if timeline else [])]
    whole = tmp_path / f"whole.{suffix}"
    assert thymos_here(*words, "--out", whole).returncode == 1
    parts = []
    for number in (1, 2, 3):
        parts.append(tmp_path / f"part {number}.{suffix}")
        assert thymos_here(*words, "--shard", f"{number}/3", "--out", parts[-1]).returncode in (0, 1)
    done = thymos_here("merge", *reversed(parts), "--out", tmp_path / f"all.{suffix}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"all.{suffix}").read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_more_shards_than_files(bundle, folder, thymos_here, tmp_path):
    parts = [tmp_path / f"{number}.csv" for number in range(1, 10)]
    for number, part in enumerate(parts, start=1):
        thymos_here("predict", folder, "--model", bundle, "--quiet", "--shard", f"{number}/9", "--out", part)
    assert sum(len(part.read_text().splitlines()) == 1 for part in parts) == 2, "two have no file"
    assert thymos_here("merge", *parts, "--out", tmp_path / "all.csv").returncode == 0
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 8


@pytest.fixture
def parts(bundle: Path, folder: Path, thymos_here: Callable[..., object], tmp_path: Path) -> list[Path]:
    made = [tmp_path / f"{number}.jsonl" for number in (1, 2, 3)]
    for number, part in enumerate(made, start=1):
        thymos_here("predict", folder, "--model", bundle, "--quiet", "--shard", f"{number}/3", "--out", part)
    return made


@pytest.mark.slow
def test_what_cannot_be_joined_is_one_sentence(bundle, folder, parts, thymos_here, tmp_path):
    first, second, third = parts
    out = tmp_path / "all.jsonl"

    def refused(sentence: str, *words: Path) -> None:
        done = thymos_here("merge", *words, "--out", out)
        assert done.returncode == 2 and sentence in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
        assert not out.exists()

    refused("shard 2 of 3 is missing among the parts", first, third)
    refused("shards 1, 3 of 3 are missing among the parts", second)
    copied = tmp_path / "copy.jsonl"
    shutil.copy(second, copied)
    refused(f"{second} and {copied} are both shard 2 of 3", *parts, copied)
    refused(f"{first} is named twice", *parts, first)
    lines = first.read_text().splitlines(keepends=True)
    cut = tmp_path / "cut.jsonl"
    cut.write_text("".join(lines[:-1]))
    refused("one of them is not whole", cut, second, third)
    cut.write_text("".join(lines)[:-20])
    refused(f"{cut} is cut off or damaged", cut, second, third)
    cut.write_bytes(b"\xff\xfe")
    refused(f"{cut} is cut off or damaged", cut, second, third)
    plain = tmp_path / "plain.jsonl"
    plain.write_text(json.dumps({"file": "a.wav"}) + "\n")
    refused(f"{plain} holds results that are of no shard", plain, second, third)
    refused(f"{tmp_path / 'none.jsonl'} is no file of results", tmp_path / "none.jsonl")
    other = tmp_path / "other.jsonl"
    thymos_here("predict", folder, "--model", bundle, "--shard", "1/3", "--timeline", "--out", other)
    refused("are shards of different runs", other, second, third)
    table = tmp_path / "table.csv"
    table.write_text("file,emotion\n")
    refused("parts are files of one format", first, table)
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    refused("parts hold no result", empty)


def test_no_part_is_lost(parts, thymos_here):
    before = parts[0].read_bytes()
    done = thymos_here("merge", *parts, "--out", parts[0], "--overwrite")
    assert done.returncode == 2 and "is one of the parts" in done.stderr
    assert parts[0].read_bytes() == before


def test_channels_of_a_shard_stay_together(bundle, thymos_here, write_sound, make_tone, tmp_path):
    import numpy as np

    folder = tmp_path / "calls"
    for number in range(3):
        write_sound(folder / f"{number}.wav", np.stack([make_tone(1.0), make_tone(1.0, hz=330.0)], axis=1))
    words = ["predict", folder, "--model", bundle, "--quiet", "--channels", "split"]
    thymos_here(*words, "--out", tmp_path / "whole.jsonl")
    for number in (1, 2):
        thymos_here(*words, "--shard", f"{number}/2", "--out", tmp_path / f"{number}.jsonl")
    assert len((tmp_path / "whole.jsonl").read_text().splitlines()) == 6
    done = thymos_here("merge", tmp_path / "1.jsonl", tmp_path / "2.jsonl", "--out", tmp_path / "all.jsonl")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "all.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("words", [["--adapt"], ["--watch", "."]])
def test_options_that_need_the_whole_list(bundle, folder, thymos_here, words):
    done = thymos_here(
        "predict", *([] if "--watch" in words else [folder]), "--model", bundle, "--shard", "1/2", *words
    )
    assert done.returncode == 2 and "--shard hears a part of a list by itself" in done.stderr
