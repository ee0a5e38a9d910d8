"""docs/own-corpus.md does what it says: every example is laid out, run, and found in what is printed."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

PAGE = Path(__file__).parents[1] / "docs" / "own-corpus.md"
BLOCK = re.compile(r"<!-- (?P<what>sounds|run|file: (?P<name>\S+)) -->\n```\w+\n(?P<content>.*?)```", re.DOTALL)
SECTIONS = [part for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:] if "<!-- run -->" in part]


def lay_out(path: Path, number: int) -> None:
    """Write a second of noise to ``path``, no two alike, in the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).normal(0, 0.1, 16_000)
    if path.suffix != ".m4a":
        soundfile.write(path, noise, 16_000)
        return
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as target:
        stream = target.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(noise.astype(np.float32)[None], format="fltp", layout="mono")
        frame.rate = 16_000
        target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS, ids=[part.partition("\n")[0] for part in SECTIONS])
def test_every_example_is_true(section: str, tmp_path: Path, thymos_here: Callable[..., Any]) -> None:
    for block in BLOCK.finditer(section):
        if block["what"] == "sounds":
            for number, name in enumerate(block["content"].split()):
                lay_out(tmp_path / name, number)
        elif block["name"]:
            (tmp_path / block["name"]).write_text(block["content"], encoding="utf-8")
        else:
            for command in re.split(r"^\$ thymos ", block["content"], flags=re.MULTILINE)[1:]:
                words, *expected = command.splitlines()
                done = thymos_here(*words.split(), "--cache-dir", tmp_path / "cache", "--quiet")
                said = (done.stdout + done.stderr).splitlines()
                for line in expected:
                    assert any(told.startswith(line) for told in said), (line, said)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)


def test_the_page_has_all_its_sections() -> None:
    assert len(SECTIONS) == 6
