from importlib import resources
from pathlib import Path

import pytest
import yaml

from thymos.cnn.recipe import CnnRecipe, SoundSettings, TrainingSettings
from thymos.errors import RecipeError
from thymos.recipes import load_experiment, load_recipe, parse_recipe, shipped_recipes, shipped_studies


def test_the_studys_recipes_are_shipped() -> None:
    assert {"model1", "model2", "model3"} <= set(shipped_recipes())


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_parses_and_has_its_files_name(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    path = Path(str(resources.files("thymos.configs") / f"{name}.yaml"))
    assert load_recipe(path) == recipe
    # Resolved, written and read again it is the same recipe: that is what a run folder keeps.
    assert parse_recipe(recipe.model_dump(mode="json"), name) == recipe


@pytest.mark.parametrize(
    ("name", "convolutions", "dense"),
    [("model1", (16, 32), (64,)), ("model2", (16, 32, 64), (64, 32)), ("model3", (16, 32, 64, 128), (128, 64, 32))],
)
def test_the_studys_models_are_as_published(name: str, convolutions: tuple[int, ...], dense: tuple[int, ...]) -> None:
    recipe = load_recipe(name)
    model = recipe.model.model_dump()
    assert (tuple(model["conv_channels"]), tuple(model["dense_units"])) == (convolutions, dense)
    assert (model["kernel_size"], model["dropout"]) == (3, 0.5)
    assert recipe.sound == SoundSettings(max_silence_s=7.0)
    assert (recipe.features.n_fft, recipe.features.hop, recipe.features.n_mels) == (2048, 1024, 128)
    training = recipe.training
    assert (training.epochs, training.batch_size, training.learning_rate) == (20, 64, 1e-3)


def test_a_minimal_file_takes_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text("name: mine\n")
    assert load_recipe(str(path)) == CnnRecipe(name="mine")


def test_changes_change_what_they_name_and_nothing_else() -> None:
    before = load_recipe("model3").model_dump()
    after = load_recipe(
        "model3",
        ["training.epochs=5", "training.learning_rate=1e-4", "sound.max_silence_s=null", "model.conv_channels=[8, 16]"],
    ).model_dump()
    assert after["training"].pop("epochs") == 5
    assert after["training"].pop("learning_rate") == 1e-4
    assert after["sound"].pop("max_silence_s") is None
    assert tuple(after["model"].pop("conv_channels")) == (8, 16)
    for part, key in (
        ("training", "epochs"),
        ("training", "learning_rate"),
        ("sound", "max_silence_s"),
        ("model", "conv_channels"),
    ):
        before[part].pop(key)
    assert after == before


def test_a_change_may_name_a_part_that_the_file_leaves_out_and_the_last_wins(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\n")
    recipe = load_recipe(path, ["training.epochs=5", "training.epochs=7", "name=thine"])
    assert recipe == CnnRecipe(name="thine", training=TrainingSettings(epochs=7))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("training.epoch=5", "unknown key 'training.epoch'; did you mean 'epochs'?"),
        ("trainin.epochs=5", "unknown key 'trainin'; did you mean 'training'?"),
        ("features.n_mel=64", "unknown key 'features.n_mel'; did you mean 'n_mels'?"),
        ("model.dropuot=0.1", "'dropout'"),
        ("zzz=1", "unknown key 'zzz'; there are name, description, sound"),
        ("training.epochs", "'training.epochs' is not of the form key=value, such as training.epochs=5"),
        ("name.first=x", "name in 'name.first' is a value and has no parts"),
        ("training.epochs=[", "'[' is not a value for training.epochs"),
        ("training.epochs=0", "training.epochs: must be greater than 0, not 0"),
        ("training.epochs=many", "training.epochs: "),
        ("training.learning_rate=.nan", "training.learning_rate: "),
        ("training.learning_rate=.inf", "training.learning_rate: "),
        ("training.precision=fp8", "training.precision: must be 'bf16' or 'fp32', not 'fp8'"),
        ("sound.rate_hz=-1", "sound.rate_hz: "),
        ("sound.normalise=rms", "sound.normalise: must be 'peak' or 'none', not 'rms'"),
        ("features.fmin_hz=-1", "features.fmin_hz: "),
        ("training=5", "training: "),
        ("model.dropout=2", "model.dropout"),
        ("model.family=study_cmn", "study_cnn"),
        ("name=", "name: "),
        ("kind=ccn", "kind: there is no 'ccn'; did you mean 'cnn'?"),
        ("kind=[encoder]", "kind: there is no \"['encoder']\"; did you mean 'encoder'?"),
        ("kind=", "kind: there is no 'None'; there are cnn, encoder, functionals"),
    ],
)
def test_bad_changes_are_refused_in_one_line(change: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("model3", [change])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a recipe: it holds no keys"),
        (b"- name\n", "is not a recipe: it holds no keys"),
        (b"name: [", "is not YAML"),
        (b"name: !!python/object/apply:os.getcwd []", "is not YAML"),
        (b"\xff\xfe\xfa", "cannot be read: it is not UTF-8 text"),
        (b"description: no name\n", "name: is missing"),
        (b"name: x\ntraining: {epoch: 3}\n", "unknown key 'training.epoch'; did you mean 'epochs'?"),
        (b"name: x\nsound:\n", "sound: "),
        (b"name: x\n1: 2\n", "unknown key '1'"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "name", [*shipped_recipes("cnn"), *shipped_recipes("encoder"), *shipped_recipes("functionals")]
)
def test_every_recipe_is_an_experiment_that_says_its_settings(name: str) -> None:
    experiment = load_experiment(name)
    assert experiment.name == name
    assert parse_recipe(experiment.settings(), name) == load_recipe(name)


def test_studies_are_no_recipes() -> None:
    assert "study" in shipped_studies()
    assert not {*shipped_studies()} & {*shipped_recipes()}
    with pytest.raises(RecipeError, match="there is no recipe 'study'"):
        load_recipe("study")


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(RecipeError, match=r"there is no recipe 'modle3'; did you mean 'model\d'\?"):
        load_recipe("modle3")
    with pytest.raises(RecipeError, match=r"absent/mine.yaml cannot be read: No such file or directory"):
        load_recipe("absent/mine.yaml")


def test_a_recipe_cannot_be_changed_behind_ones_back() -> None:
    recipe = load_recipe("model1")
    with pytest.raises(ValueError, match="frozen"):
        recipe.training.epochs = 3  # type: ignore[misc]


def test_a_missing_name_does_not_print_the_whole_recipe() -> None:
    content = yaml.safe_load((resources.files("thymos.configs") / "model3.yaml").read_text(encoding="utf-8"))
    del content["name"]
    with pytest.raises(RecipeError) as caught:
        parse_recipe(content, "mine.yaml")
    assert str(caught.value) == "mine.yaml: name: is missing"
