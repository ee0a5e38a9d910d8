"""What people install runs without the training stack, imports nothing early, and is imported in no time."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import thymos
from thymos.audio import read_waveform

HEAVY = (
    "torch", "pandas", "librosa", "matplotlib", "scipy", "sklearn", "yaml", "jinja2", "safetensors", "onnx", "joblib",
)  # fmt: skip
WITHOUT = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


def run(code: str, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=check)


@pytest.mark.slow
def test_it_predicts_without_the_training_stack(bundle, spoken, recognizer):
    code = WITHOUT + "import thymos; print(thymos.load(sys.argv[1]).predict(sys.argv[2], timeline=True).to_dict())"
    done = run(code, bundle, spoken[0])
    assert done.stdout.strip() == str(recognizer.predict(spoken[0], timeline=True).to_dict())
    assert done.stderr == ""


@pytest.mark.slow
def test_the_command_does_too_and_tables_name_what_is_missing(bundle, spoken):
    command = WITHOUT + "sys.argv[0] = 'thymos'; from thymos.cli import main; main()"
    done = run(command, "predict", spoken[0], "--model", bundle, "--format", "csv")
    assert done.stdout.count("\n") == 2
    frame = run(
        WITHOUT + "import thymos; thymos.load(sys.argv[1]).predict(sys.argv[2]).to_frame()",
        bundle,
        spoken[0],
        check=False,
    )
    assert "MissingExtraError: tables need pandas" in frame.stderr
    train = run(command, "train", "nowhere", "--out", "x", check=False)
    assert train.returncode == 2 and "pip install 'thymos[train]'" in train.stderr


def test_importing_thymos_brings_nothing_and_takes_no_time():
    code = (
        "import sys, time; before = set(sys.modules); began = time.process_time(); import thymos; "
        "print(time.process_time() - began); print(*sorted(set(sys.modules) - before))"
    )
    seconds, modules = run(code).stdout.splitlines()
    assert float(seconds) < 0.15
    for heavy in ("numpy", "onnxruntime", "pydantic", "rich", "typer", "importlib.metadata"):
        assert heavy not in modules.split()


@pytest.mark.slow
def test_public_face_is_lazy_and_whole():
    code = "import thymos; print(thymos.load.__name__, thymos.Recognizer.__name__, thymos.__version__); thymos.nonsense"
    done = run(code, check=False)
    assert done.stdout.startswith("load Recognizer 0.")
    assert "module 'thymos' has no attribute 'nonsense'" in done.stderr


def test_every_public_name_is_there_for_users_for_type_checkers_and_for_completion():
    completed = run(WITHOUT + "import thymos; print(*dir(thymos))").stdout
    assert set(completed.split()) >= set(thymos.__all__)
    assert all(getattr(thymos, name) is not None for name in thymos.__all__)
    typed = {
        alias.asname
        for node in ast.walk(ast.parse(Path(thymos.__file__).read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert typed | {"predict", "__version__"} == set(thymos.__all__)


@pytest.mark.slow
def test_without_the_bench_what_hears_is_there_and_the_rest_names_the_extra():
    code = """
import thymos
for name in thymos.__all__:
    try:
        print(name, "there" if getattr(thymos, name) is not None else "")
    except thymos.MissingExtraError as error:
        print(name, error)
"""
    told = dict(line.split(" ", 1) for line in run(WITHOUT + code).stdout.splitlines())
    assert told.keys() == set(thymos.__all__)
    for name in ("load", "predict", "Recognizer", "Prediction", "Timeline", "Stream", "Explanation", "AudioError"):
        assert told[name] == "there"
    for name in ("evaluate", "study", "train", "compare"):
        assert told[name].startswith(f"thymos.{name} needs the library")
        assert told[name].endswith("pip install 'thymos[train]'")


def test_what_recognizers_return_is_public(recognizer, spoken, make_tone):
    waveform = read_waveform(spoken[0])
    heard = recognizer.predict(spoken[0], timeline=True)
    failure = next(recognizer.predict_many([b"RIFF"]))
    with recognizer.stream(waveform.rate_hz) as stream:
        windows = [*stream.feed(waveform.samples), *stream.close()]
    public = {
        thymos.Prediction: heard,
        thymos.Timeline: heard.timeline,
        thymos.Stretch: heard.timeline.stretches[0],
        thymos.Window: windows[0],
        thymos.Stream: stream,
        thymos.Failure: failure,
        thymos.AudioError: failure.error,
        thymos.Explanation: recognizer.explain(spoken[0]),
        thymos.Recognizer: recognizer,
    }
    for kind, value in public.items():
        assert type(value) is kind
        assert kind in (thymos.Stream, thymos.AudioError) or repr(value).startswith(("<", kind.__name__))
    assert issubclass(thymos.AudioError, thymos.ThymosError)
    silent = recognizer.predict((make_tone(1.0, level=0.0), 16_000))
    assert silent.flags and set(silent.flags) <= {
        word for part in get_args(thymos.Flag) for word in get_args(part) or (part,)
    }


@pytest.mark.slow
def test_three_lines_of_python(bundle, spoken):
    code = "import sys, thymos; print(thymos.predict(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(spoken[0])],
        capture_output=True,
        text=True,
        env=os.environ | {"THYMOS_MODEL": str(bundle)},
    )
    assert "s of speech in" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("module", ["recognizer", "stream", "formats"])
def test_modules_import_alone(module):
    run(WITHOUT + f"import thymos.runtime.{module}")
