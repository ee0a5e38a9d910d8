"""What is released: licences that allow it, one version everywhere, and a wheel that is the same each time."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MOST_WHEEL_BYTES = 30e6
CONDA_NAMES = {"soundfile": "pysoundfile", "soxr": "soxr-python"}


@pytest.fixture(scope="module")
def licences() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licences", REPOSITORY / "scripts" / "licences.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_light_install_brings_nothing_under_the_gpl_and_nothing_for_research_alone(licences):
    parts = {part.name: part.licence for part in licences.parts_of()}
    assert {"numpy", "soundfile", "soxr", "onnxruntime", "pydantic", "typer", "rich", "cffi"} <= parts.keys()
    assert not {"torch", "av", "opensmile"} & parts.keys()
    assert "unknown" not in parts.values()
    assert [
        name for name, said in parts.items() if licences.COPYLEFT.search(said) or licences.RESEARCH.search(said)
    ] == []


@pytest.mark.slow
@pytest.mark.parametrize("extra", sorted({*PROJECT["optional-dependencies"]} - {"dev", "functionals"}))
def test_no_other_extra_brings_what_is_for_research_alone(licences, extra):
    """openSMILE has an extra of its own for this."""
    assert [part.name for part in licences.parts_of((extra,)) if licences.RESEARCH.search(part.licence)] == []


@pytest.mark.parametrize(
    ("said", "is_copyleft"),
    [
        ("GPL-3.0-or-later", True), ("AGPL-3.0", True), ("GNU General Public License v2 (GPLv2)", True),
        ("GNU Affero General Public License v3", True), ("LGPL-2.1-or-later", False), ("MIT", False),
        ("GNU Lesser General Public License v3", False),
    ],
)  # fmt: skip
def test_the_gpl_is_known_by_its_names_and_the_lgpl_is_another(licences, said, is_copyleft):
    assert bool(licences.COPYLEFT.search(said)) is is_copyleft


def test_the_bill_of_materials_names_every_part(licences):
    parts = [*licences.parts_of(), *licences.OWN_PARTS]
    bill = json.loads(licences.cyclonedx(parts))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert [(each["name"], each["version"]) for each in bill["components"]] == [
        (each.name, each.version) for each in parts
    ]
    assert {each["type"] for each in bill["components"]} == {"library", "machine-learning-model"}


def test_the_page_of_licences_is_that_of_the_command(licences):
    page = (REPOSITORY / "docs" / "licences.md").read_text(encoding="utf-8")
    told = {
        tuple(cell.strip() for cell in line.split("|")[1:4:2]) for line in page.splitlines() if line.startswith("| ")
    }
    expected = {(part.name, part.licence) for part in [*licences.parts_of(), *licences.OWN_PARTS]}
    assert expected <= told, "python scripts/licences.py writes the table of docs/licences.md"


def test_there_is_one_version():
    cited = re.search(r"^version: (\S+)$", (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    recipe = re.search(r'set version = "([^"]+)"', recipe_text())
    assert cited and recipe and cited[1] == recipe[1] == PROJECT["version"]


def recipe_text() -> str:
    return (REPOSITORY / "scripts" / "conda" / "meta.yaml").read_text(encoding="utf-8")


def test_the_recipe_of_conda_asks_for_what_the_wheel_asks_for():
    section = recipe_text().partition("  run:\n")[2].partition("\n\n")[0]
    asked = dict(line.removeprefix("- ").split() for line in map(str.strip, section.splitlines()))
    needed = [Requirement(text) for text in PROJECT["dependencies"]]
    expected = {CONDA_NAMES.get(each.name, each.name): str(each.specifier) for each in needed}
    assert asked == expected | {"python": PROJECT["requires-python"]}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> list[Path]:
    """Two, built one after the other from two copies whose files have other times."""
    built = []
    for number in range(2):
        folder = tmp_path_factory.mktemp("release")
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(REPOSITORY / "src", folder / "src", ignore=ignored, copy_function=shutil.copyfile)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copyfile(REPOSITORY / name, folder / name)
            os.utime(folder / name, (1e9 + number, 1e9 + number))
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "out", "."]
        subprocess.run(command, cwd=folder, env=os.environ | {"SOURCE_DATE_EPOCH": "1767225600"}, check=True)
        built += (folder / "out").glob("*.whl")
    return built


@pytest.mark.install
@pytest.mark.skipif(not os.environ.get("THYMOS_TEST_INSTALL"), reason="installs from pip's index")
def test_the_wheel_is_small_holds_its_licences_and_is_the_same_twice(wheels):
    first, second = wheels
    assert 1e6 < first.stat().st_size <= MOST_WHEEL_BYTES
    names = zipfile.ZipFile(first).namelist()
    kept = [name.partition("/licenses/")[2] for name in names if ".dist-info/licenses/" in name]
    assert sorted(kept) == ["LICENSE", "src/thymos/weights/encoder/LICENSE", "src/thymos/weights/vad/LICENSE"]
    assert "thymos/weights/encoder/encoder.onnx" in names and not [name for name in names if name.endswith(".pyc")]
    assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest()
