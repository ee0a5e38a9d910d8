"""From a recipe of kind whole, and recordings of one corpus, to a fitted network."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from thymos.cnn.fit import Epoch
from thymos.encoder.attentive import EmotionNetwork
from thymos.encoder.encoder_file import Pretrained, build_network
from thymos.encoder.fit_recordings import Lesson, average_weights, fit_recordings
from thymos.encoder.level_spectrograms import Recordings
from thymos.encoder.recipe import WholeRecipe


def fine_tune(
    recipe: WholeRecipe,
    pretrained: Pretrained | None,
    recordings: Recordings,
    targets: NDArray[np.int64],
    train: Sequence[int],
    labels: tuple[str, ...],
    seed: int,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> EmotionNetwork:
    """Fit the recipe's members and return the network of their mean weights.

    Args:
        recipe: resolved.
        pretrained: where each member starts; None: from random weights.
        recordings: of the corpus.
        targets: class of each of them.
        train: which of them are trained on.
        labels: the classes.
        seed: each member's own is drawn from it.
        on_epoch: called after each epoch of each member.

    Raises:
        TrainingError: there are fewer than two recordings to fit to, or the loss stopped being a number.
    """
    rows = np.array(train, np.int64)
    asked = np.ones((len(targets), len(labels)), np.bool_)
    lesson = Lesson(recordings, lambda random: random.permutation(rows), targets, asked)
    members = []
    for member_seed in np.random.SeedSequence(seed).generate_state(recipe.members).tolist():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(member_seed)
            network = build_network(recipe, pretrained, labels)
        fit_recordings(network, lesson, recipe.training, recipe.distortions, recipe.features, member_seed, on_epoch)
        members.append(network)
    if len(members) > 1:
        members[0].load_state_dict(average_weights(members))
    return members[0].eval()
