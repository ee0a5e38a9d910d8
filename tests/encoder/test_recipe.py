"""Recipes of kind encoder: what is shipped, what goes together, and how much each version of a recording counts."""

import pytest

from thymos.encoder.recipe import SHIPPED, EncoderRecipe
from thymos.errors import RecipeError
from thymos.recipes import load_experiment, load_recipe, shipped_recipes

OURS = ("thymos", "thymos-aesdd", "zero-shot")


def test_the_shipped_recipes_start_where_they_say() -> None:
    assert set(shipped_recipes("encoder")) == {*OURS, "frozen-whisper"}
    for name in shipped_recipes("encoder"):
        recipe = load_recipe(name)
        assert isinstance(recipe, EncoderRecipe)
        assert recipe.calibrated == (name != "zero-shot") and not load_experiment(name).transductive
        assert (recipe.start_from == SHIPPED) == (name in OURS)


def test_the_control_differs_by_its_encoder_alone() -> None:
    control, own = load_recipe("frozen-whisper"), load_recipe("thymos-aesdd")
    same = {"name": own.name, "description": own.description, "start_from": SHIPPED}
    assert control.model_copy(update=same) == own


def test_versions_share_what_is_left() -> None:
    shares = load_recipe("thymos-aesdd").shares()
    assert len(shares) == 9 + 3
    assert sum(shares) == pytest.approx(1)
    assert shares[0] == 0.3
    assert shares[-3:] == pytest.approx((0.1 / 3,) * 3)
    assert load_recipe("thymos-aesdd", ["speeds=[1.0]", "distorted_copies=0"]).shares() == (1.0,)
    assert load_recipe("thymos-aesdd", ["speeds=[1.0]"]).shares() == pytest.approx((0.9, *(0.1 / 3,) * 3))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("layers=[]", "layers: "),
        ("layers=[0]", "layers.0: must be greater than 0, not 0"),
        ("speeds=[]", "speeds: "),
        ("speeds=[1, 0]", "speeds.1: must be greater than 0, not 0"),
        ("speeds=[0.9, 1.0]", "speeds should begin with 1.0: recordings are scored as they are"),
        ("recorded_share=0.95", "recorded_share and distorted_share should leave a rest for other speeds"),
        ("shrinkage=1.1", "shrinkage: must be less than or equal to 1, not 1.1"),
        ("centring=room", "centring: "),
        ("fitted_to=clips.csv", "fitted_to goes with no centring, and is not calibrated"),
        ("merge={Calm: Neutral, NEUTRAL: anger}", "merge: neutral counts as another emotion itself"),
        ("max_silence_s=-1", "max_silence_s: "),
        ("layer=[2]", "unknown key 'layer'; did you mean 'layers'?"),
    ],
)
def test_bad_changes_are_refused_in_one_line(change: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("thymos-aesdd", [change])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
