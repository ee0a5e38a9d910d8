"""Saying what there is loads none of the libraries that do it; in a process of its own each, since imports stay."""

import json
import subprocess
import sys
from importlib.metadata import version

import pytest

from thymos.cli import app

COMMAND = """
import json, sys
from thymos.cli import main
sys.argv = ["thymos", *sys.argv[1:]]
try:
    main()
finally:
    print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})), file=sys.stderr)
"""
OF_SOUND = {"numpy", "onnxruntime", "soundfile", "soxr"}
OF_TRAINING = {"torch", "pandas", "scipy", "sklearn", "matplotlib", "librosa", "yaml", "jinja2", "safetensors", "onnx"}


def loaded(*words: str) -> tuple[set[str], subprocess.CompletedProcess[str]]:
    done = subprocess.run([sys.executable, "-c", COMMAND, *words], capture_output=True, text=True)
    return set(json.loads(done.stderr.splitlines()[-1])), done


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_the_command_line_itself_loads_no_library_of_sound_or_settings(word):
    modules, done = loaded(word)
    assert done.returncode == 0
    assert "typer" in modules, "what is loaded is seen"
    assert not modules & (OF_SOUND | OF_TRAINING | {"pydantic"})


def test_version_is_that_of_the_installation():
    assert loaded("--version")[1].stdout == f"thymos {version('thymos')}\n"


@pytest.mark.parametrize("command", [command.callback.__name__ for command in app.registered_commands])
def test_a_commands_help_loads_no_library_of_sound_or_training(command):
    modules, done = loaded(command, "--help")
    assert done.returncode == 0 and f"thymos {command}" in done.stdout
    # Typer itself loads pydantic, if it is there, as soon as a command has options.
    assert not modules & (OF_SOUND | OF_TRAINING)


def test_hearing_loads_nothing_of_training(mini):
    modules, done = loaded("predict", str(sorted(mini.glob("*/*"))[0]))
    assert done.returncode == 0
    assert modules >= OF_SOUND and not modules & OF_TRAINING
