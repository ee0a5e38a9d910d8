"""Augmentation and normalisation in a recipe: what is refused, in one sentence."""

import pytest

from thymos.cnn.recipe import AugmentationSettings, CopySettings
from thymos.errors import RecipeError
from thymos.recipes import load_recipe


def test_the_shipped_recipes_augment_nothing() -> None:
    recipe = load_recipe("model3")
    assert recipe.augmentation == AugmentationSettings()
    assert not recipe.transductive


def test_copies_can_be_asked_for_on_the_command_line() -> None:
    change = "augmentation.copies=[{pitch_semitones: 4}, {pitch_semitones: -4, gain_db: 3, noise_snr_db: 20}]"
    copies = load_recipe("model3", [change]).augmentation.copies
    assert copies == (
        CopySettings(pitch_semitones=4),
        CopySettings(pitch_semitones=-4, gain_db=3, noise_snr_db=20),
    )


def test_normalisation_by_speaker_is_marked() -> None:
    assert load_recipe("model3", ["features.normalise=speaker"]).transductive


SPEC = "augmentation.spec_augment="
GAIN = "augmentation.copies=[{gain_db: 6}]"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([f"{SPEC}{{freq_masks: 2}}"], "spec_augment.freq_width: must be above 0 just where freq_masks is, not 0"),
        ([f"{SPEC}{{time_width: 9}}"], "spec_augment.time_width: must be above 0 just where time_masks is, not 9"),
        ([f"{SPEC}{{freq_mask: 2}}"], "unknown key 'augmentation.spec_augment.freq_mask'; did you mean 'freq_masks'?"),
        ([f"{SPEC}{{freq_masks: 1, freq_width: 128}}"], "freq_width must be below the spectrogram's 128 bands"),
        ([f"{SPEC}{{freq_masks: 1, freq_width: 12}}", "features.kind=chroma"], "below the spectrogram's 12 bands"),
        ([f"{SPEC}{{time_masks: 1, time_width: 130}}"], "time_width must be below the spectrogram's 130 frames"),
        ([f"{SPEC}{{freq_masks: 1, freq_width: 4}}", "features.kind=mfcc"], "rows that are frequencies, which mfcc"),
        (["augmentation.time_shift_s=2"], "time_shift_s must be at most half of sound.window_s"),
        (["augmentation.time_shift_s=0.001"], "time_shift_s must be at least half a frame"),
        (["augmentation.time_shift_s=-1"], "augmentation.time_shift_s: "),
        (["augmentation.mixup_alpha=-1"], "augmentation.mixup_alpha: "),
        (["augmentation.copies=[{}]"], "a copy must differ in pitch_semitones, gain_db or noise_snr_db"),
        (["augmentation.copies=[{pitch: 4}]"], "unknown key 'augmentation.copies.0.pitch'; did you mean 'pitch_sem"),
        (["augmentation.copies=[{pitch_semitones: 40}]"], "copies.0.pitch_semitones: must be less than"),
        ([GAIN, "features.kind=chroma"], "gain alone is no other to chroma"),
        ([GAIN, "features.normalise=speaker"], "gain alone is no other once features.normalise is speaker"),
        (["features.normalise=speakers"], "features.normalise: must be 'none' or 'speaker', not 'speakers'"),
        (["sound.segments=stretched"], "sound.segments: must be 'study', 'sliding' or 'stretch'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(changes: list[str], words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("model3", changes)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["mel", "mfcc", "chroma", "mel_mfcc_chroma"])
def test_what_makes_sense_for_all_spectrograms_is_taken(kind: str) -> None:
    changes = [
        f"features.kind={kind}",
        f"{SPEC}{{time_masks: 2, time_width: 20}}",
        "augmentation.time_shift_s=1.5",
        "augmentation.mixup_alpha=0.2",
        "augmentation.copies=[{pitch_semitones: 4}, {noise_snr_db: 10}]",
    ]
    assert len(load_recipe("model3", changes).augmentation.copies) == 2
