"""What people install, installed: an environment of its own, made by pip without any extra, in which it all runs."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import thymos
from thymos.audio import read_waveform

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "constraints.txt")
HEAVY = ("torch", "pandas", "librosa", "matplotlib", "scipy", "sklearn", "yaml", "onnx", "safetensors", "av")
GATE = "THYMOS_TEST_INSTALL"
PYTHON = os.environ.get("THYMOS_TEST_PYTHON", sys.executable)
"""Which Python it is installed for: that of the tests, or another that is there."""
WALK = """
import pkgutil, thymos.audio, thymos.live, thymos.runtime
for package in (thymos.audio, thymos.live, thymos.runtime):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if module.name != "thymos.audio.media_worker":  # a program for the extra's decoder, which nothing imports
            __import__(module.name)
            print(module.name)
"""

pytestmark = [
    pytest.mark.install,
    pytest.mark.skipif(not os.environ.get(GATE), reason=f"installs from pip's index: only where {GATE} is set"),
]

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="module")
def installed(request: pytest.FixtureRequest, tmp_path_factory) -> Path:
    """The ``bin`` folder of an environment with the light install; made of a copy, so that the clone stays clean."""
    folder = tmp_path_factory.mktemp("installed")
    source, bin = folder / "source", folder / "venv" / "bin"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in SOURCES:
        shutil.copy(ROOT / name, source / name)
    subprocess.run([PYTHON, "-m", "venv", bin.parent], check=True)
    before, began = size(bin.parent), time.monotonic()
    install = [bin / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*install, "-c", "constraints.txt", "."], cwd=source, capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 0, done.stderr
    seconds, bytes = time.monotonic() - began, size(bin.parent) - before
    shutil.rmtree(source)  # what runs is what was installed
    with request.config.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print(f"\nlight install: {seconds:.0f} s, {bytes / 1e6:.0f} MB")
    return bin


@pytest.fixture(scope="module")
def run(installed: Path, tmp_path_factory) -> Run:
    """``run("python" or "thymos", words…) -> finished process``, in the environment, away from the clone."""
    away = tmp_path_factory.mktemp("away")

    def run(program: str, *words: str | Path, input: bytes = b"", code: int = 0) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [installed / program, *words], input=input, capture_output=True, cwd=away, env=environment()
        )
        assert done.returncode == code, done.stderr.decode()
        return done

    return run


@pytest.fixture(scope="module")
def clip(mini: Path) -> Path:
    return sorted(mini.glob("anger/*"))[4]


def environment() -> dict[str, str]:
    """Without what leads back to the clone, or to another model."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "THYMOS", "VIRTUAL_ENV"))}


def size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def test_it_is_light(run):
    code = f"import importlib.util; print([name for name in {HEAVY!r} if importlib.util.find_spec(name)])"
    assert run("python", "-c", code).stdout.decode().strip() == "[]"
    place = run("python", "-c", "import thymos; print(thymos.__file__)").stdout.decode()
    assert "site-packages" in place and str(ROOT) not in place
    walked = run("python", "-c", WALK).stdout.decode().split()
    assert {"thymos.audio.decode", "thymos.runtime.explain", "thymos.live.osc"} <= set(walked)


def test_the_command_hears_what_the_full_install_hears(run, clip):
    heard = json.loads(run("thymos", "predict", clip, "--timeline", "--format", "jsonl").stdout)
    assert heard == {"file": str(clip), **thymos.load().predict(clip, timeline=True).to_dict()}
    assert heard["emotion"] and heard["timeline"]
    table = run("thymos", "predict", clip).stdout.decode()
    assert table.startswith("emotion") and heard["emotion"] in table


def test_a_stream_is_heard(run, clip):
    waveform = read_waveform(clip)
    samples = np.concatenate([waveform.samples] * 3)
    content = (samples * 32_767).astype("<i2").tobytes()
    lines = run("thymos", "listen", "-", "--rate", str(waveform.rate_hz), input=content).stdout.splitlines()
    answers = [json.loads(line) for line in lines]
    assert len(answers) >= 3
    assert answers[-1]["end_s"] == pytest.approx(len(samples) / waveform.rate_hz, abs=0.01)
    assert any(answer["smoothed"]["emotion"] for answer in answers)


def test_python_hears_an_array(run, clip, tmp_path):
    waveform = read_waveform(clip)
    np.save(tmp_path / "samples.npy", waveform.samples)
    code = (
        "import sys, json, numpy, thymos; "
        "heard = thymos.load().predict((numpy.load(sys.argv[1]), int(sys.argv[2]))); print(json.dumps(heard.to_dict()))"
    )
    done = run("python", "-c", code, tmp_path / "samples.npy", str(waveform.rate_hz))
    assert json.loads(done.stdout) == thymos.load().predict((waveform.samples, waveform.rate_hz)).to_dict()
    assert done.stderr == b""


def test_the_model_that_comes_along_describes_itself(run):
    said = run("thymos", "models").stdout.decode()
    assert all(word in said for word in (*thymos.load().labels, "licence"))


def test_what_needs_an_extra_says_which(run, clip, tmp_path):
    drawing = run("thymos", "predict", clip, "--explain", code=2)
    assert drawing.stderr.decode() == "thymos: --explain draws by matplotlib: pip install 'thymos[plots]'\n"
    training = run("thymos", "train", clip.parents[1], "--out", tmp_path / "trained", code=2)
    assert "pip install 'thymos[train]'" in training.stderr.decode()
    listening = run("thymos", "listen", code=2)
    assert "pip install 'thymos[live]'" in listening.stderr.decode()
    code = "import sys, thymos; thymos.load().predict(sys.argv[1]).to_frame()"
    assert "MissingExtraError: tables need pandas" in run("python", "-c", code, clip, code=1).stderr.decode()


def test_regions_are_explained_without_a_picture(run, clip):
    code = "import sys, thymos; print(thymos.load().explain(sys.argv[1]))"
    assert run("python", "-c", code, clip).stdout.decode().startswith(str(thymos.load().predict(clip).emotion))
