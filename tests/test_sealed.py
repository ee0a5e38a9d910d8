"""What is kept from one call to the next is made again where it was changed, cut off or swapped, and that is said."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thymos.cache import (
    KeptFileWarning,
    is_sealed_array,
    is_sealed_folder,
    read_sealed,
    save_sealed_array,
    seal_folder,
    write_sealed,
)
from thymos.corpora import open_corpus
from thymos.errors import RunError
from thymos.evaluation.evaluate import evaluate

Damage = Callable[[Path], object]


def a_line_less(file: Path) -> None:
    file.write_text("\n".join(file.read_text().splitlines()[:-1]) + "\n")


DAMAGES: dict[str, Damage] = {
    "cut at a line's end": a_line_less,
    "a digit": lambda file: file.write_bytes(file.read_bytes().replace(b"1", b"2", 1)),
    "empty": lambda file: file.write_bytes(b""),
    "no JSON": lambda file: file.write_text("[]"),
    "null": lambda file: file.write_text("null"),
    "deep": lambda file: file.write_text("[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
@pytest.mark.parametrize("which", ["a.json", "a.csv"])
def test_json_and_what_belongs_to_it_fit_or_are_none(tmp_path: Path, which: str, damage: Damage) -> None:
    table, file = tmp_path / "a.csv", tmp_path / "a.json"
    table.write_text("a,b\n1,2\n1,3\n")
    content = {"b": [1, 2.5, None, True], "a": {"10": "θ", "9": "x"}}
    write_sealed(file, content, [table])
    assert read_sealed(file, [table]) == content
    damage(tmp_path / which)
    with pytest.warns(KeptFileWarning, match="made again"):
        assert read_sealed(file, [table]) is None
    assert read_sealed(tmp_path / "absent.json") is None


def test_two_that_were_swapped_fit_neither_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_sealed(tmp_path / f"{name}.json", {"name": name})
        save_sealed_array(tmp_path / f"{name}.npy", np.arange(3) + ord(name))
    assert is_sealed_array(tmp_path / "a.npy") and np.load(tmp_path / "a.npy", mmap_mode="r").tolist() == [97, 98, 99]
    for suffix in ("json", "npy"):
        (tmp_path / f"a.{suffix}").rename(tmp_path / "c")
        (tmp_path / f"b.{suffix}").rename(tmp_path / f"a.{suffix}")
        (tmp_path / "c").rename(tmp_path / f"b.{suffix}")
    with pytest.warns(KeptFileWarning):
        assert read_sealed(tmp_path / "a.json") is None and not is_sealed_array(tmp_path / "b.npy")


def test_a_folder_is_as_it_was_sealed_or_not(tmp_path: Path) -> None:
    folder = tmp_path / "key"
    folder.mkdir()
    (folder / "values.npy").write_bytes(b"123")
    seal_folder(folder, "key")
    assert is_sealed_folder(folder) and not is_sealed_folder(tmp_path / "absent")
    (folder / "values.npy").write_bytes(b"124")
    with pytest.warns(KeptFileWarning):
        assert not is_sealed_folder(folder)
    (folder / "sealed.json").unlink()
    with pytest.warns(KeptFileWarning):
        assert not is_sealed_folder(folder)


@pytest.fixture(scope="module")
def finished(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Callable[[Path], object], Path, Path]:
    """What goes on with a run of the mini corpus, the folder of a finished one, and the cache."""
    corpus, cache = open_corpus(mini), tmp_path_factory.mktemp("cache")

    def run(folder: Path) -> object:
        changes = ["training.epochs=1", "model.conv_channels=[4]", "model.dense_units=[4]"]
        return evaluate(corpus, "model1", folds=2, changes=changes, out=folder, cache_dir=cache, workers=1, threads=1)

    folder = tmp_path_factory.mktemp("runs") / "run"
    run(folder)
    return run, folder, cache


def bytes_in(folder: Path) -> dict[str, bytes]:
    files = ("predictions.csv", "folds/repeat-0_fold-0.csv", "folds/repeat-0_fold-1.csv")
    return {name: (folder / name).read_bytes() for name in files}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cut", "swapped", "changed result", "cached"])
def test_a_run_whose_files_were_changed_ends_with_the_same_bytes(finished, tmp_path: Path, kind: str) -> None:
    run, folder, cache = finished
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    first, second = (copy / "folds" / f"repeat-0_fold-{number}.csv" for number in (0, 1))
    if kind == "cut":
        a_line_less(first)
        (copy / "results.json").unlink()
    elif kind == "swapped":
        one, other = first.read_bytes(), second.read_bytes()
        first.write_bytes(other)
        second.write_bytes(one)
        (copy / "results.json").unlink()
    elif kind == "changed result":
        a_line_less(copy / "predictions.csv")
    else:
        (values,) = cache.glob("spectrograms/*/values.npy")
        content = bytearray(values.read_bytes())
        content[-4:] = np.float32(99).tobytes()
        values.write_bytes(content)
        shutil.rmtree(copy / "folds")
        (copy / "results.json").unlink()
    with pytest.warns(KeptFileWarning, match="made again"):
        run(copy)
    assert bytes_in(copy) == bytes_in(folder)


@pytest.mark.slow
@pytest.mark.parametrize("content", ["[]", "null", "{}", "[" * 100_000, '{"seed": 1}'])
def test_a_run_folder_that_says_nothing_usable_is_left_alone(finished, tmp_path: Path, content: str) -> None:
    run, folder, _ = finished
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "run.json").write_text(content)
    with pytest.raises(RunError, match="is damaged"):
        run(copy)
    assert json.loads((copy / "results.json").read_text())["labels"]
