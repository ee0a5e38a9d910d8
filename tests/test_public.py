"""The public Python: every name is there, says what it is, and costs nothing until it is used."""

import subprocess
import sys
from types import FunctionType

import pytest

import thymos

BENCH = {"open_corpus", "audit", "evaluate", "study", "train", "Experiment", "Fitted", "Scores", "TrainingPart", "Work"}


@pytest.mark.parametrize("name", thymos.__all__)
def test_every_name_is_there_and_says_what_it_is(name):
    value = getattr(thymos, name)
    if isinstance(value, type | FunctionType):  # __version__ is a text, Flag one of a few words
        assert value.__name__ == name
        assert value.__doc__ and value.__doc__.strip()


def test_the_bench_is_public_and_names_complete():
    assert set(thymos.__all__) >= BENCH
    assert set(dir(thymos)) >= set(thymos.__all__)
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        thymos.evalute  # noqa: B018


def test_an_audit_of_a_path_is_one_call(mini):
    assert thymos.audit(mini).corpus.clips == thymos.open_corpus(mini).clips


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_importing_takes_no_time_and_no_library():
    """Of the processor's time, not the clock's: other processes may want the same core."""
    code = (
        "import sys, time\nbefore, began = set(sys.modules), time.process_time()\nimport thymos\n"
        "print(time.process_time() - began, *sorted(set(sys.modules) - before))"
    )
    took_s, *modules = in_a_new_process(code).split()
    assert float(took_s) < 0.15
    assert {name.split(".")[0] for name in modules} & {"numpy", "torch", "pandas", "pydantic", "onnxruntime"} == set()
    assert [name for name in modules if name.startswith("thymos")] == ["thymos"]


@pytest.mark.slow
def test_judging_an_experiment_of_ones_own_brings_no_wing_and_a_recipe_only_its_own():
    code = (
        "import sys, thymos\nthymos.evaluate, thymos.study, thymos.Experiment\n"
        "wings = {'torch', 'thymos.cnn', 'thymos.encoder', 'thymos.baseline'}\n"
        "print(sorted(wings & sys.modules.keys()))\n"
        "from thymos.recipes import load_experiment\nload_experiment('functionals-svm')\n"
        "print(sorted(wings & sys.modules.keys()))"
    )
    assert in_a_new_process(code).splitlines() == ["[]", "['thymos.baseline']"]


@pytest.mark.slow
def test_a_worker_that_fits_networks_brings_no_library_that_it_does_not_use():
    """scipy and torch's exporter take a second and a half of every process that fits a fold."""
    code = (
        "import sys, torch\nfrom thymos.evaluation.fitting import run_fold\n"
        "from thymos.recipes import load_experiment\nfrom thymos.cnn.front_end import front_end\n"
        "recipe = load_experiment('model3').recipe\n"
        "front_end(recipe.sound, recipe.features)(torch.zeros(1, recipe.sound.window))\n"
        "print(*(name for name in ('scipy', 'sklearn', 'matplotlib', 'torch.onnx') if name in sys.modules))"
    )
    assert in_a_new_process(code).split() == []
