"""From recordings to descriptions, once for a whole corpus, and from descriptions to a linear discriminant.

The describer is never fitted to the corpus, so its descriptions can be shared by all folds; the discriminant is fitted
to the training part alone.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from thymos.encoder.attentive import AttentiveEncoder
from thymos.encoder.decision import Descriptions, Discriminant, fit_to_versions
from thymos.encoder.distortions import distort_levels
from thymos.encoder.encoder_file import WEIGHTS, Pretrained
from thymos.encoder.level_spectrograms import Recordings
from thymos.encoder.recipe import DiscriminantSettings, EncoderRecipe
from thymos.encoder.voice_statistics import VoiceDescriber, VoiceNetwork
from thymos.engine.process import one_thread
from thymos.errors import RecipeError
from thymos.experiment import Work
from thymos.files import whole_file

Layout = dict[str, tuple[int, int]]
"""Where each part of a description begins and ends."""
_DESCRIPTIONS_VERSION = 4
_STREAM = 3
"""Keeps the draws of distorted copies apart from others."""


def describer(pretrained: Pretrained | None) -> VoiceDescriber:
    """Return the describer of an encoder, as pretraining left it.

    Raises:
        RecipeError: there is no encoder.
    """
    if pretrained is None:
        raise RecipeError("a discriminant needs a pretrained encoder: start_from cannot be scratch")
    features = pretrained.features
    encoder = AttentiveEncoder(pretrained.model, len(features.channels), features.n_bands)
    own = {name: value for name, value in pretrained.state.items() if name.startswith("encoder.")}
    encoder.load_state_dict({name.removeprefix("encoder."): value for name, value in own.items()})
    return VoiceDescriber(encoder, features).eval()


def layout(pretrained: Pretrained | None) -> Layout:
    """Return where the parts of a description lie."""
    module = describer(pretrained)
    assert pretrained is not None
    statistics = module.statistics.count
    return {"statistics": (0, statistics), "embedding": (statistics, statistics + pretrained.model.embedding)}


def describe_recordings(
    recordings: Recordings,
    recipe: EncoderRecipe,
    pretrained: Pretrained | None,
    work: Work,
) -> Path:
    """Return the file of the descriptions of ``recordings``, from the cache where it is there.

    Args:
        recordings: at all speeds of the recipe.
        recipe: says how many distorted copies there are, and what distorts them.
        pretrained: the encoder that describes them.
        work: where the file is kept, how many recordings are described at once, and the seed of the distorted copies.

    Raises:
        RecipeError: there is no encoder.
    """
    module = describer(pretrained)
    assert pretrained is not None
    copies = recipe.discriminant.distorted_copies if recipe.discriminant else 0
    shaping = {
        "version": _DESCRIPTIONS_VERSION,
        "recordings": recordings.folder.name,
        "encoder": pretrained.about["sha256"][WEIGHTS],
        "distorted": [copies, recipe.distortions.model_dump(), work.seed] if copies else [],
    }
    key = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:32]
    path = work.cache_dir / "descriptions" / f"{key}.npy"
    if path.is_file():
        for _ in range(len(recordings)):
            work.advance()
        return path
    speeds = range(len(recordings.values))
    features = pretrained.features

    def described(recording: int) -> list[NDArray[np.float32]]:
        with torch.inference_mode():
            versions = [recordings.levels(recording, speed) for speed in speeds]
            random = np.random.default_rng([work.seed, _STREAM, recording])
            for _ in range(copies):
                chosen = versions[int(random.integers(len(speeds)))]
                versions.append(distort_levels(chosen, recipe.distortions, features, random))
            return [module(levels).description[0].numpy() for levels in versions]

    rows = []
    with one_thread(), ThreadPoolExecutor(work.threads) as pool:
        for versions in pool.map(described, range(len(recordings))):
            rows.append(versions)
            work.advance()
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.ascontiguousarray(np.array(rows, np.float32).swapaxes(0, 1)))
    return path


def decide(
    recipe: EncoderRecipe,
    pretrained: Pretrained | None,
    descriptions_file: Path,
    targets: NDArray[np.int64],
    train: Sequence[int],
    labels: tuple[str, ...],
) -> Discriminant:
    """Return the discriminant that ``recipe`` asks for: fitted to the training part, or as pretraining left it.

    Args:
        recipe: has a discriminant.
        pretrained: the encoder; where it was fitted to pretraining, with a discriminant that knows all ``labels``.
        descriptions_file: of all recordings.
        targets: class of each recording of ``train``, shape ``(train,)``.
        train: which recordings may be fitted to.
        labels: the classes.
    """
    if recipe.discriminant is not None and recipe.discriminant.fitted_to == "pretraining":
        assert pretrained is not None
        assert pretrained.discriminant is not None
        return pretrained.discriminant.among([pretrained.labels.index(word) for word in labels])
    return fit_discriminant(recipe, pretrained, descriptions_file, targets, train)


def fit_discriminant(
    recipe: EncoderRecipe,
    pretrained: Pretrained | None,
    descriptions_file: Path,
    targets: NDArray[np.int64],
    train: Sequence[int],
) -> Discriminant:
    """Fit a linear discriminant with a shrunk covariance and equal priors; every version is a recording of its own.

    Args:
        recipe: has a discriminant; descriptors of parts that it leaves out get no weight.
        pretrained: the encoder that described the recordings.
        descriptions_file: of all recordings.
        targets: class of each recording of ``train``, shape ``(train,)``; every class occurs.
        train: which recordings it is fitted to.
    """
    settings = recipe.discriminant or DiscriminantSettings()
    used = _columns(settings, layout(pretrained))
    descriptions: Descriptions = np.load(descriptions_file, mmap_mode="r")[:, list(train)]
    shares = _shares(settings, len(descriptions))
    fitted = fit_to_versions(descriptions[:, :, used], targets, shares, settings.shrinkage)
    descriptors = descriptions.shape[2]
    mean, spread, weights = np.zeros(descriptors), np.ones(descriptors), np.zeros((descriptors, len(fitted.bias)))
    mean[used], spread[used], weights[used] = fitted.mean, fitted.spread, fitted.weights
    return Discriminant(mean, spread, weights, fitted.bias)


def _shares(settings: DiscriminantSettings, versions: int) -> NDArray[np.float64]:
    """Return how much each version counts: as much as is asked for, and what is left over alike."""
    speeds = versions - settings.distorted_copies
    asked = ((settings.recorded_share, slice(0, 1)), (settings.distorted_share, slice(speeds, versions)))
    shares, is_free = np.zeros(versions), np.ones(versions, np.bool_)
    for share, place in asked:
        if share is not None and is_free[place].any():
            shares[place] = share / len(shares[place])
            is_free[place] = False
    if is_free.any():
        shares[is_free] = (1 - shares.sum()) / is_free.sum()
    normalised: NDArray[np.float64] = shares / shares.sum()
    return normalised


def _columns(settings: DiscriminantSettings, layout: Layout) -> NDArray[np.int64]:
    """Return which descriptors belong to the parts that are used."""
    return np.concatenate([np.arange(*layout[part]) for part in layout if part in settings.parts])


def voice_network(pretrained: Pretrained | None, discriminant: Discriminant) -> VoiceNetwork:
    """Return the network that gives the logits of ``discriminant``, from levels on."""
    network = VoiceNetwork(describer(pretrained), *discriminant.weights.shape)
    network.mean.copy_(torch.from_numpy(discriminant.mean))
    network.spread.copy_(torch.from_numpy(discriminant.spread))
    with torch.no_grad():
        network.linear.weight.copy_(torch.from_numpy(discriminant.weights.T))
        network.linear.bias.copy_(torch.from_numpy(discriminant.bias))
    return network.eval()
