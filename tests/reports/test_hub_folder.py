"""A model's folder for a hub: a bundle that is whole, and a card that strangers and machines can read."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from thymos.reports.hub_folder import write_hub_folder
from thymos.runtime.bundle import find_bundle
from thymos.runtime.recognizer import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "model"
    write_hub_folder(find_bundle("thymos"), folder, {})
    return folder


def metadata(folder: Path) -> dict:
    head = re.match(r"---\n(.*?)\n---\n", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert head
    return yaml.safe_load(head[1])


@pytest.mark.slow
def test_it_hears_as_the_model_does_from_its_own_files_alone(folder, mini, tmp_path):
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    clip = min(mini.glob("*/*.opus"))
    assert load(moved).predict(clip) == load("thymos").predict(clip)
    assert (moved / "encoder.onnx").is_file() and (moved / "encoder.safetensors").is_file()


def test_the_card_says_what_a_hub_looks_for(folder):
    said = metadata(folder)
    assert said["license_name"] == "research-and-non-commercial-use-only"
    assert (said["license"], said["license_link"], said["library_name"]) == ("other", "LICENSE", "thymos")
    assert said["pipeline_tag"] == "audio-classification"
    assert said["language"] == ["am", "el", "en", "it", "pl", "tr"]  # those of its seven corpora
    (scored,) = said["model-index"][0]["results"]
    assert scored["dataset"]["name"] == "aesdd, speaker"
    assert {each["type"]: each["value"] for each in scored["metrics"]} == {"accuracy": 0.7828, "uar": 0.7827}


def test_labels_and_licences_are_told(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"]["0"] == "anger" and config["label2id"]["surprise"] == 6
    licence = (folder / "LICENSE").read_text(encoding="utf-8")
    assert "research and non-commercial use only" in licence and "MIT (OpenAI)" in licence
    assert "- ravdess (1440 recordings): CC BY-NC-SA 4.0" in licence


def test_names_are_words_and_no_marks_of_a_card(tmp_path, bundle):
    write_hub_folder(bundle, tmp_path / "hub", {"name": "a|b <i> --- *", "licence": "'x': [y"})
    said, text = metadata(tmp_path / "hub"), (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
    assert said["license_name"] == "x" and r"# a\|b &lt;i> --- * " in text


@pytest.mark.slow
def test_it_is_written_anew_and_over_nothing_else(folder, thymos_here, tmp_path):
    again = shutil.copytree(folder, tmp_path / "again")
    assert thymos_here("export", "thymos", "--hub", "again").returncode == 0
    assert (again / "README.md").read_bytes() == (folder / "README.md").read_bytes()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    refused = thymos_here("export", "--hub", "mine")
    assert refused.returncode == 2 and (tmp_path / "mine" / "README.md").read_text() == "mine"


@pytest.mark.parametrize("words", [[], ["thymos"], ["thymos", "--out", "a", "--hub", "b"], ["--hub", "b", "--float32"]])
def test_a_call_that_says_too_little_or_too_much_is_refused(thymos_here, tmp_path, words):
    refused = thymos_here("export", *words)
    assert refused.returncode == 2 and not any(tmp_path.iterdir())
