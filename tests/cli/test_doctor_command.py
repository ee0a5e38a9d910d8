"""``thymos doctor`` and ``thymos recipes``: what an installation can do, and what comes with it."""

import importlib
import importlib.metadata
import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from thymos.cli import app
from thymos.cli.doctor import Symptom, cache, extras, models
from thymos.recipes import shipped_recipes, shipped_studies


def thymos(*words: str) -> Result:
    return CliRunner().invoke(app, [*words], env={"COLUMNS": "200"})


def test_extras_are_told_by_what_the_package_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = [
        "numpy>=1.26",
        "torch>=2.6; extra == 'train'",
        "scipy>=1.13; extra == 'train'",
        "python-osc>=1.9; extra == 'live'",
        "thymos[live,train]; extra == 'all'",
        "ruff>=0.8; extra == 'dev'",
    ]

    def version(name: str) -> str:
        if name in ("torch", "python-osc"):
            return "1"
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", lambda name: declared)
    monkeypatch.setattr(importlib.metadata, "version", version)
    assert extras() == [
        Symptom("extra all", "lacks scipy", advice="pip install 'thymos[all]'"),
        Symptom("extra live", "installed"),
        Symptom("extra train", "lacks scipy", advice="pip install 'thymos[train]'"),
    ]


def test_every_extra_of_this_installation_is_told() -> None:
    names = {symptom.subject.removeprefix("extra ") for symptom in extras()}
    assert names == {*importlib.metadata.metadata("thymos").get_all("Provides-Extra")} - {"dev"}


def test_a_cache_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("THYMOS_CACHE", str(tmp_path / "file" / "below"))
    (symptom,) = cache()
    assert symptom.found.endswith("cannot be written") and "THYMOS_CACHE" in symptom.advice
    monkeypatch.setenv("THYMOS_CACHE", str(tmp_path / "new"))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "kept").write_bytes(bytes(3_000_000))
    (symptom,) = cache()
    assert ": 3 MB used, " in symptom.found


@pytest.mark.slow
def test_a_model_that_cannot_be_used_is_exit_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.import_module("thymos.cli.doctor"), "LOOKS", (models,))
    monkeypatch.setenv("THYMOS_MODEL", str(tmp_path))
    done = thymos("doctor", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert [each["fine"] for each in told] == [False, True, True]
    assert told[1]["subject"] == "model thymos" and "SHA-256" in told[1]["found"]
    monkeypatch.delenv("THYMOS_MODEL")
    assert thymos("doctor").exit_code == 0


def test_recipes_are_listed_and_printed(tmp_path: Path) -> None:
    listed = thymos("recipes").stdout
    assert all(f" {name} " in listed for name in [*shipped_recipes(), *shipped_studies()])
    content = yaml.safe_load(thymos("recipes", "model3").stdout)
    assert content["model"]["conv_channels"] == [16, 32, 64, 128]
    done = thymos("recipes", "model33")
    assert done.exit_code == 1 and "did you mean 'model3'" in str(done.exception)
