"""From a recipe of kind encoder, and recordings of one corpus, to a fitted network."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from thymos.encoder.attentive import EmotionNetwork
from thymos.encoder.encoder_file import Pretrained, build_network
from thymos.encoder.fit_recordings import Lesson, fit_recordings
from thymos.encoder.level_spectrograms import Recordings
from thymos.encoder.recipe import EncoderRecipe
from thymos.experiment import Epoch


def fine_tune(
    recipe: EncoderRecipe,
    pretrained: Pretrained | None,
    recordings: Recordings,
    targets: NDArray[np.int64],
    train: Sequence[int],
    labels: tuple[str, ...],
    seed: int,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> EmotionNetwork:
    """Fit a network that starts from ``pretrained``.

    Args:
        recipe: resolved.
        pretrained: where it starts; None: from random weights.
        recordings: of the corpus.
        targets: class of each recording of ``train``, shape ``(train,)``.
        train: which of them are trained on.
        labels: the classes.
        seed: of initial weights and all draws.
        on_epoch: called after each epoch.

    Raises:
        TrainingError: there are fewer than two recordings to fit to, or the loss stopped being a number.
    """
    rows = np.array(train, np.int64)
    of_all = np.zeros(len(recordings), np.int64)
    of_all[rows] = targets
    asked = np.ones((len(recordings), len(labels)), np.bool_)
    lesson = Lesson(recordings, lambda random: random.permutation(rows), of_all, asked)
    own_seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(own_seed)
        network = build_network(recipe, pretrained, labels)
    fit_recordings(network, lesson, recipe.training, recipe.distortions, recipe.features, own_seed, on_epoch)
    return network.eval()
