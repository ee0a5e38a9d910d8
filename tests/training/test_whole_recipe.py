import pytest

from thymos.errors import RecipeError
from thymos.training.recipe import EvaluableRecipe, load_recipe, parse_recipe, shipped_recipes
from thymos.training.whole_recipe import SHIPPED, PretrainingRecipe, WholeRecipe


def test_the_kinds_are_shipped_and_what_they_are() -> None:
    assert {"thymos", "zero-shot"} <= set(shipped_recipes("whole"))
    for name in shipped_recipes("whole"):
        recipe = load_recipe(name)
        assert isinstance(recipe, WholeRecipe)
        assert isinstance(recipe, EvaluableRecipe)
        assert not recipe.transductive
        assert recipe.start_from == SHIPPED
    for name in shipped_recipes("pretraining"):
        assert isinstance(load_recipe(name), PretrainingRecipe)
        assert not isinstance(load_recipe(name), EvaluableRecipe)


def test_what_is_scored_is_as_it_was_recorded() -> None:
    for name in (*shipped_recipes("whole"), *shipped_recipes("pretraining")):
        assert load_recipe(name).speeds[0] == 1


def test_zero_shot_learns_nothing() -> None:
    assert load_recipe("zero-shot").training.epochs == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("members=0", "members: input should be greater than 0, not 0"),
        ("training.batch_size=1", "training.batch_size: input should be greater than or equal to 2, not 1"),
        ("training.epochs=-1", "training.epochs: "),
        ("training.averaging=1", "training.averaging: input should be less than 1, not 1"),
        ("training.label_smoothing=1", "training.label_smoothing: "),
        ("distortions.noisy=2", "distortions.noisy: input should be less than or equal to 1, not 2"),
        ("distortions.nosiy=0.2", "unknown key 'distortions.nosiy'; did you mean 'noisy'?"),
        ("distortions.band_warp=0.3", "distortions.band_warp: "),
        ("speeds=[]", "speeds: "),
        ("speeds=[1, 0]", "speeds.1: input should be greater than 0, not 0"),
        ("features.hop=300", "features.hop: should be a power of two, not 300"),
        ("features.rate_hz=8000", "features.channels: should have no fmax_hz above half of rate_hz"),
        ("model.blocks=[1, 1]", "model: widths, blocks and time_strides should have as many numbers each"),
        ("model.time_strides=[3, 1, 1, 1]", "model.time_strides.0: "),
        ("max_silence_s=-1", "max_silence_s: "),
        ("balance=0.5", "unknown key 'balance'"),
    ],
)
def test_bad_changes_are_refused_in_one_line(change: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("thymos", [change])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("balance=1.5", "balance: input should be less than or equal to 1, not 1.5"),
        ("weights={emovo: 0}", "weights.emovo: input should be greater than 0, not 0"),
        ("members=2", "unknown key 'members'"),
        ("start_from=scratch", "unknown key 'start_from'"),
    ],
)
def test_bad_changes_to_pretraining_are_refused_in_one_line(change: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("pretraining", [change])
    assert words in str(caught.value)


def test_networks_that_began_apart_are_not_averaged() -> None:
    with pytest.raises(RecipeError, match="members: should be 1 from scratch"):
        load_recipe("thymos", ["start_from=scratch", "members=2"])
    assert load_recipe("thymos", ["members=2"]).members == 2
    assert parse_recipe({"kind": "whole", "name": "x", "start_from": "scratch"}, "x").members == 1
