import pytest

from thymos.encoder.recipe import SHIPPED, EncoderRecipe, PretrainingRecipe
from thymos.errors import RecipeError
from thymos.experiment import Experiment
from thymos.recipes import experiment_of, load_recipe, shipped_recipes


def test_the_kinds_are_shipped_and_what_they_are() -> None:
    assert {"thymos", "zero-shot"} <= set(shipped_recipes("encoder"))
    for name in shipped_recipes("encoder"):
        recipe = load_recipe(name)
        assert isinstance(recipe, EncoderRecipe)
        experiment = experiment_of(recipe)
        assert isinstance(experiment, Experiment)
        assert not experiment.transductive
        assert recipe.start_from == SHIPPED
    for name in shipped_recipes("pretraining"):
        recipe = load_recipe(name)
        assert isinstance(recipe, PretrainingRecipe)
        with pytest.raises(RecipeError, match="those of kind cnn, encoder, functionals can be evaluated"):
            experiment_of(recipe)


def test_what_is_scored_is_as_it_was_recorded() -> None:
    for name in (*shipped_recipes("encoder"), *shipped_recipes("pretraining")):
        assert load_recipe(name).speeds[0] == 1


def test_zero_shot_learns_nothing() -> None:
    assert load_recipe("zero-shot").training.epochs == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
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
        ("training.epochs=3", "a discriminant leaves the encoder as it is: training.epochs must be 0"),
        ("discriminant.scored_speeds=10", "discriminant.scored_speeds are more than there are speeds"),
        ("discriminant.scored_speeds=0", "discriminant.scored_speeds: input should be greater than 0, not 0"),
        ("discriminant.shrinkage=1.1", "discriminant.shrinkage: input should be less than or equal to 1, not 1.1"),
        ("discriminant.parts=[]", "discriminant.parts: "),
        ("discriminant.parts=[timbre]", "discriminant.parts.0: "),
        ("discriminant.solver=svd", "unknown key 'discriminant.solver'"),
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
        ("features.channels=[{window: 512}]", "two mel channels and a log channel: shrinkage must be null"),
        ("balance=1.5", "balance: input should be less than or equal to 1, not 1.5"),
        ("weights={emovo: 0}", "weights.emovo: input should be greater than 0, not 0"),
        ("start_from=scratch", "unknown key 'start_from'"),
    ],
)
def test_bad_changes_to_pretraining_are_refused_in_one_line(change: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("pretraining", [change])
    assert words in str(caught.value)


def test_the_shipped_recipe_is_a_discriminant_of_an_encoder_that_stays_as_it_is() -> None:
    recipe = load_recipe("thymos")
    assert recipe.discriminant is not None
    assert recipe.training.epochs == 0
    assert recipe.learns
    assert recipe.calibrated
    assert 1 <= recipe.discriminant.scored_speeds < len(recipe.speeds)
    assert len(set(recipe.speeds)) == len(recipe.speeds)


def test_without_its_discriminant_it_would_learn_nothing() -> None:
    recipe = load_recipe("thymos", ["discriminant=null"])
    assert recipe.discriminant is None
    assert not recipe.learns


def test_fine_tuning_has_no_discriminant_and_fits_the_network() -> None:
    recipe = load_recipe("fine-tuned")
    assert recipe.discriminant is None
    assert recipe.training.epochs > 0
    assert recipe.learns
    assert not load_recipe("fine-tuned", ["training.epochs=0"]).learns


def test_a_discriminant_may_be_asked_for_by_any_recipe_of_the_kind() -> None:
    recipe = load_recipe("zero-shot", ["discriminant.scored_speeds=1"])
    assert recipe.discriminant is not None
    assert (recipe.discriminant.scored_speeds, recipe.discriminant.parts) == (1, ("statistics", "embedding"))
