"""The fine-tuning learns, asks only what a corpus knows, and goes on after a kill as if nothing had happened."""

import hashlib
import json

import numpy as np
import pytest
import torch

from thymos.encoder.fine_tuning import (
    CHECKPOINT,
    FineTuning,
    FineTuningRecipe,
    fine_tune,
    hide,
    make_lesson,
    masked_loss,
)
from thymos.encoder.network import PoolingSettings
from thymos.encoder.sounds import Sounds
from thymos.encoder.variation import AugmentSettings, Mask
from thymos.encoder.weights import ABOUT, WEIGHTS, read_encoder, write_encoder
from thymos.errors import CorpusError, RecipeError, RunError

RECIPE = FineTuningRecipe(
    pooling=PoolingSettings(attention=8, embedding=8),
    augment=AugmentSettings(crop_s=0.5, room=0.1),
    weights={"one": 2.0},
    steps=6,
    batch=8,
    group=3,
    encoder_rate=1e-3,
    head_rate=1e-2,
    warm_up=2,
    average=0.5,
)


def begin(tones, tiny_layers, seed=0, **changes) -> FineTuning:
    recipe = RECIPE.model_copy(update=changes)
    return FineTuning(make_lesson(tones, recipe), tiny_layers(), recipe, seed)


def digest(network) -> str:
    values = [value.numpy().tobytes() for value in network.state_dict().values()]
    return hashlib.sha256(b"".join(values)).hexdigest()


@pytest.mark.slow
def test_it_learns(tones, tiny_layers):
    steps = []
    fine_tuning = begin(tones, tiny_layers, steps=40, encoder_rate=3e-3, head_rate=0.03)
    for _ in range(40):
        steps.append(fine_tuning.step())
    assert [step.number for step in steps] == list(range(1, 41))
    losses = [step.loss for step in steps]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert np.mean([step.accuracy for step in steps[-5:]]) > 0.8


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_digits(tones, tiny_layers, tmp_path):
    whole = fine_tune(begin(tones, tiny_layers), tmp_path / "whole", every=100)

    def kill(step):
        if step.number == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(begin(tones, tiny_layers), tmp_path / "killed", every=2, on_step=kill)
    again = begin(tones, tiny_layers)
    assert digest(fine_tune(again, tmp_path / "killed", every=2)) == digest(whole)
    assert again.done == 6
    assert [file.name for file in (tmp_path / "killed").iterdir()] == [CHECKPOINT]


@pytest.mark.slow
def test_another_seed_is_another_run(tones, tiny_layers, tmp_path):
    first = begin(tones, tiny_layers)
    first.step()
    other = begin(tones, tiny_layers, seed=1)
    other.step()
    assert digest(first.network) != digest(other.network)
    first.save(tmp_path)
    for stranger in (other, begin(tones, tiny_layers, decay=0.5)):
        with pytest.raises(RunError, match="another"):
            stranger.resume(tmp_path)
    (tmp_path / CHECKPOINT).write_bytes(b"cut off")
    with pytest.raises(RunError, match="damaged"):
        first.resume(tmp_path)
    assert not first.resume(tmp_path / "nowhere")


@pytest.mark.slow
def test_rates_rise_and_fall(tones, tiny_layers):
    fine_tuning = begin(tones, tiny_layers, steps=6, warm_up=2)
    rates = []
    for _ in range(6):
        fine_tuning.step()
        rates.append(fine_tuning._optimiser.param_groups[1]["lr"])
    expected = [0.5, 1, 1, *((1 + np.cos(np.pi * np.arange(1, 4) / 4)) / 2)]
    np.testing.assert_allclose(rates, np.array(expected) * RECIPE.head_rate)


def test_positions_stay(tones, tiny_layers):
    fine_tuning = begin(tones, tiny_layers)
    before = fine_tuning.network.layers.state_dict()["embed_positions.weight"].clone()
    fine_tuning.step()
    torch.testing.assert_close(fine_tuning.network.layers.embed_positions.weight, before, atol=0, rtol=0)


def test_a_clip_is_asked_what_its_corpus_knows(tones):
    lesson = make_lesson(tones, RECIPE)
    assert lesson.labels == ("anger", "fear", "happiness")
    assert lesson.asked[0].tolist() == [True, False, True]
    assert lesson.asked[1].tolist() == [True, True, False]


def test_shares_follow_corpus_and_class(tones):
    lesson = make_lesson(tones, RECIPE)
    clips = tones.clips
    # 24 clips are angry, 12 happy, 12 afraid; those of the first corpus count twice.
    ratio = lesson.shares / lesson.shares[next(i for i, c in enumerate(clips) if c.emotion == "fear")]
    expected = [(2 if c.corpus == "one" else 1) * (2**-0.3 if c.emotion == "anger" else 1) for c in clips]
    np.testing.assert_allclose(ratio, expected)
    assert abs(lesson.shares.sum() - 1) < 1e-12


def test_a_corpus_of_one_emotion_is_refused(tones):
    angry = [i for i, clip in enumerate(tones.clips) if clip.emotion == "anger"]
    one = Sounds([tones.clips[i] for i in angry], [0] * len(angry), np.zeros(9, np.int16))
    with pytest.raises(CorpusError, match="one emotion"):
        make_lesson(one, RECIPE)


def test_masked_loss_by_hand():
    logits = torch.tensor([[1.0986123, 50.0, 0.0]], requires_grad=True)
    asked = torch.tensor([[True, False, True]])
    loss = masked_loss(logits, torch.tensor([0]), asked, 0.1)
    loss.backward()
    # Among the two asked the probabilities are 3/4 and 1/4.
    expected = -(0.95 * np.log(0.75) + 0.05 * np.log(0.25))
    assert abs(float(loss.detach()) - expected) < 1e-6
    torch.testing.assert_close(logits.grad, torch.tensor([[0.75 - 0.95, 0.0, 0.25 - 0.05]]))


def test_what_is_hidden_is_the_clips_mean():
    log_mels = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    log_mels[1, :, 3] = 0  # past the second clip's end
    before = log_mels.clone()
    hide(log_mels, torch.tensor([4, 3]), [Mask(((0, 1),), ((2, 3),)), Mask(((2, 2), (1, 2)), ((0, 0),))])
    assert log_mels[0, 0].tolist() == [5.5] * 4 and log_mels[0, :, 2].tolist() == [5.5] * 3
    torch.testing.assert_close(log_mels[1, 1, :3], torch.full((3,), float(before[1, :, :3].mean())))
    assert log_mels[1, 1, 3] == 0 and torch.equal(log_mels[1, 0], before[1, 0])


def test_an_encoder_is_read_as_it_was_written(tones, tiny_layers, tmp_path):
    fine_tuning = begin(tones, tiny_layers)
    fine_tuning.step()
    write_encoder(tmp_path, fine_tuning.average, fine_tuning.lesson, RECIPE, 7, {"device": "none"})
    read = read_encoder(tmp_path)
    assert read.labels == fine_tuning.lesson.labels
    assert read.has_seen(47) and not read.has_seen(48) and not read.has_seen(-1)
    about = json.loads((tmp_path / ABOUT).read_text())
    assert about["corpora"] == {"one": 24, "two": 24}
    assert about["seed"] == 7 and about["device"] == "none" and "MIT" in about["starts_from"]["licence"]
    waveforms, lengths = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0)), torch.tensor([8000, 6000])
    with torch.inference_mode():
        ours, its = fine_tuning.average(waveforms, lengths), read.network(waveforms, lengths)
    torch.testing.assert_close(ours, its, atol=1e-2, rtol=1e-2)  # layers are kept in 16 bits


@pytest.mark.slow
def test_a_changed_encoder_is_refused(tones, tiny_layers, tmp_path):
    fine_tuning = begin(tones, tiny_layers)
    write_encoder(tmp_path, fine_tuning.average, fine_tuning.lesson, RECIPE, 0)
    about = json.loads((tmp_path / ABOUT).read_text())
    for change in ({"format": 1}, {"layers": {**about["layers"], "width": 18}}, {"labels": ["anger"]}):
        (tmp_path / ABOUT).write_text(json.dumps(about | change))
        with pytest.raises(RecipeError):
            read_encoder(tmp_path)
    (tmp_path / ABOUT).write_text(json.dumps(about))
    content = bytearray((tmp_path / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(RecipeError, match="SHA-256"):
        read_encoder(tmp_path)
    with pytest.raises(RecipeError, match="holds no encoder"):
        read_encoder(tmp_path / "nowhere")
