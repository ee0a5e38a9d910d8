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
HELP = """
import json, sys
from thymos.cli import main
for name in sys.argv[1:]:
    sys.argv = ["thymos", name, "--help"]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0
    print(json.dumps([name, sorted({name.split(".")[0] for name in sys.modules})]), file=sys.stderr)
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


@pytest.mark.slow
def test_no_commands_help_loads_a_library_of_sound_or_training():
    """One process for all: what one had loaded would still be there after the next."""
    names = [command.callback.__name__ for command in app.registered_commands]
    done = subprocess.run([sys.executable, "-c", HELP, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded_by = {name: set(modules) for name, modules in map(json.loads, done.stderr.splitlines())}
    assert list(loaded_by) == names
    for name, modules in loaded_by.items():
        assert f"thymos {name}" in done.stdout
        # Typer itself loads pydantic, if it is there, as soon as a command has options.
        assert not modules & (OF_SOUND | OF_TRAINING), name


@pytest.mark.slow
def test_hearing_loads_nothing_of_training(mini):
    modules, done = loaded("predict", str(sorted(mini.glob("*/*"))[0]))
    assert done.returncode == 0
    assert modules >= OF_SOUND and not modules & OF_TRAINING
