"""Inner splits: a training part divided once more, by the same rule, for what a test part must not choose."""

from dataclasses import replace

from thymos.corpora.folds import GROUPS, Fold, Protocol
from thymos.corpora.protocols import apply_protocol
from thymos.corpora.table import Corpus

INNER_FOLDS = 5
"""Into how many folds a training part is divided: each is 80 to 20."""


def inner_splits(corpus: Corpus, protocol: Protocol, fold: Fold, most: int, seed: int) -> list[Fold]:
    """Divide the training part of ``fold`` by the same rule once more, and return the first ``most`` of the splits.

    A protocol that comes with a validation part has that one split.

    Raises:
        ProtocolError: the training part is too small to be divided.
        LeakageError: the split leaks.
    """
    if fold.validation:
        return [replace(fold, test=fold.validation, validation=())]
    inside = set(fold.train)
    part = replace(corpus, clips=tuple(clip for clip in corpus.clips if clip.path in inside))
    # Folds that somebody else drew say what must not cross, not how to divide further.
    name = protocol.name if protocol.name in ("recording", "take", "sentence", "speaker") else "recording"
    if "speaker" in protocol.must_not_cross:
        name = "speaker"
    groups = {GROUPS[name](clip) for clip in part.clips}
    inner = apply_protocol(part, name, min(INNER_FOLDS, len(groups)), 1, seed)
    return [
        replace(split, repeat=fold.repeat, index=fold.index, name=f"{fold.name}, inner {split.name}")
        for split in inner.folds[:most]
    ]
