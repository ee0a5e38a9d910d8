"""Manners of the command line: short help, completion, errors in words, and where there is no space left."""

import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, Field, ValidationError

from thymos.config import in_words
from thymos.runtime.bundle import find_bundle


@pytest.mark.parametrize("words", [["-h"], ["predict", "-h"], ["evaluate", "-h"], ["export", "-h"]])
def test_h_is_help(thymos_here, words):
    short, long = thymos_here(*words), thymos_here(*words[:-1], "--help")
    assert short.returncode == 0 and "Usage: " in short.stdout
    assert short.stdout == long.stdout


@pytest.mark.slow
def test_help_breaks_no_word_at_eighty_columns(thymos_here, monkeypatch):
    wide = set(thymos_here("predict", "--help").stdout.split())
    done = subprocess.run(
        [sys.executable, "-m", "thymos", "predict", "--help"], capture_output=True, text=True,
        env={"PATH": "/usr/bin", "COLUMNS": "80", "TERM": "dumb", "PYTHONPATH": ":".join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode == 0 and max(map(len, done.stdout.splitlines())) <= 80
    assert {word for word in done.stdout.split() if word.isalpha()} <= wide | {"python"}, "as it was called"


def completing(**words: str) -> str:
    """What the program ``thymos`` answers a shell that asks by these variables."""
    code = "import sys; sys.argv = ['thymos']; from thymos.__main__ import main; main()"
    environment = {"PATH": "/usr/bin", "PYTHONPATH": ":".join(filter(None, sys.path)), **words}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell):
    assert "_THYMOS_COMPLETE=complete_" in completing(_THYMOS_COMPLETE=f"source_{shell}")


def test_commands_are_completed():
    said = completing(_THYMOS_COMPLETE="complete_bash", COMP_WORDS="thymos pre", COMP_CWORD="1")
    assert sorted(said.split()) == ["predict", "pretrain"]


class Asked(BaseModel):
    number: int = Field(ge=1)
    share: float = Field(lt=1)
    word: str
    truth: bool
    several: list[int]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"number": "x"}, "must be a whole number"), ({"number": 1.5}, "must be a whole number"),
        ({"number": 0}, "must be greater than or equal to 1"), ({"share": 1}, "must be less than 1"),
        ({"share": []}, "must be a number"), ({"word": 3}, "must be text"), ({"truth": "x"}, "must be true or false"),
        ({"several": 3}, "must be a list"), ({"several": [None]}, "must be a whole number"),
        ({"word": ...}, "is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_without_the_library_s_words(wrong, said):
    right = {"number": 1, "share": 0.5, "word": "a", "truth": True, "several": [1]}
    given = {key: value for key, value in (right | wrong).items() if value is not ...}
    with pytest.raises(ValidationError) as caught:
        Asked.model_validate(given)
    assert in_words(caught.value.errors()[0]) == said


def test_a_damaged_model_is_told_so(thymos_here, tmp_path, spoken):
    folder = shutil.copytree(find_bundle("thymos"), tmp_path / "model")
    about = (folder / "model.json").read_text(encoding="utf-8")
    (folder / "model.json").write_text(about.replace('"rate_hz": 16000', '"rate_hz": "x"'), encoding="utf-8")
    refused = thymos_here("predict", spoken[0], "--model", "model")
    assert refused.returncode == 2 and refused.stderr.endswith("not usable: rate_hz: must be a whole number\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["predict", "CLIP", "--format", "jsonl", "--out", "OUT/heard.jsonl"], "OUT/.heard.jsonl.journal"),
        (
            ["predict", "CLIP", "--timeline", "--format", "textgrid", "--out", "OUT/heard.TextGrid"],
            "OUT/.heard.TextGrid.journal",
        ),
        (["export", "--hub", "OUT/hub"], "OUT/hub/"),
    ],
    ids=["lines", "annotation", "folder"],
)
def test_where_no_space_is_left_is_said(words, where, tmp_path, spoken):
    """A limit on the size of files stands for a full disk: the system refuses to write in the same way."""

    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))

    out = tmp_path / "out"
    out.mkdir()
    given = [word.replace("CLIP", str(spoken[0])).replace("OUT", str(out)) for word in words]
    done = subprocess.run([sys.executable, "-m", "thymos", *given], capture_output=True, text=True, preexec_fn=small)
    assert done.returncode == 2
    assert where.replace("OUT", str(out)) in done.stderr and "File too large" in done.stderr
    assert not [path for path in Path(out).rglob("*") if path.is_file()], "nothing half-written is left"


BLOCKED = {"torch", "pandas", "scipy", "sklearn", "yaml", "safetensors", "onnx", "python_stretch", "threadpoolctl"}
"""What the extra train brings, and plots does not."""
WITHOUT = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {sorted(BLOCKED)!r}:
            raise ModuleNotFoundError(name=name.split(".")[0])
sys.meta_path.insert(0, Absent())
from thymos.__main__ import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "made"),
    [
        (["show", "CLIP", "--out", "sound.png"], "sound.png"),
        (["audit", "FEW", "--out", "audit"], "audit/audit.html"),
        (["predict", "CLIP", "--explain", "--explain-out", "why"], "why"),
    ],
    ids=["show", "audit", "explain"],
)
def test_plots_alone_is_enough_to_draw(words, made, tmp_path, spoken):
    for emotion in ("anger", "fear"):
        (tmp_path / "few" / emotion).mkdir(parents=True)
        for number, path in enumerate(each for each in spoken if each.parent.name == emotion):
            shutil.copy(path, tmp_path / "few" / emotion / f"{emotion[0]}{number + 1:02d} ({number % 3 + 1}).opus")
    given = [word.replace("CLIP", str(spoken[0])).replace("FEW", "few") for word in words]
    done = subprocess.run([sys.executable, "-c", WITHOUT, *given], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / made).exists()
