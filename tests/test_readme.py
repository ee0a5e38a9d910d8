"""Every command in the README runs, as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
LINES = [
    line.split("  #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a clone to the commands, where they may write."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("data", "configs", "Makefile", "pyproject.toml", "constraints.txt"):
        (folder / name).symlink_to(REPOSITORY / name)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", [line for line in LINES if line.startswith("thymos ")])
def test_readme_command(command, clone):
    scripts = Path(sys.executable).parent
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "THYMOS_CACHE": str(clone / "cache")}
    done = subprocess.run(command, shell=True, cwd=clone, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_readme_python(code, clone):
    environment = os.environ | {"THYMOS_CACHE": str(clone / "cache")}
    done = subprocess.run([sys.executable, "-c", code], cwd=clone, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout, done.stderr


@pytest.mark.parametrize("command", [line for line in LINES if line.startswith("make ")])
def test_readme_make_target(command, clone):
    """The targets themselves set up a virtual environment, and `make test` is running this very test."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run([*command.split(), "--dry-run"], cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_readme_has_both_commands_and_no_other_kind():
    assert {line.split()[0] for line in LINES} == {"make", "thymos"}
    assert {"make demo", "make test"} <= set(LINES)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (REPOSITORY / target).exists(), target
