"""Folds, and the guard that each passes before it is used."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from thymos.corpora.table import Clip, Corpus, clip_names
from thymos.errors import LeakageError, ProtocolError

GroupOf = Callable[[Clip], tuple[str, ...]]

GROUPS: dict[str, GroupOf] = {
    # Exact copies of one recording under two names are one recording, and so are excerpts that overlap.
    "recording": lambda clip: (clip.recording or clip.sound.sha256,),
    "take": lambda clip: (clip.speaker, clip.emotion, clip.sentence),
    "sentence": lambda clip: (clip.sentence,),
    "speaker": lambda clip: (clip.speaker,),
    "corpus": lambda clip: (clip.corpus,),
}
"""What may have to stay on one side: a clip's group, by the name of what is kept together."""


@dataclass(frozen=True)
class Fold:
    """One division of a corpus. Clips are named by their paths; ``validation`` is there if the protocol has one."""

    repeat: int
    index: int
    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    validation: tuple[str, ...] = ()


def check_leakage(corpus: Corpus, folds: Iterable[Fold], must_not_cross: Sequence[str], protocol: str) -> None:
    """Check that nothing which must stay together is on both sides of a fold.

    Args:
        corpus: whose clips the folds name.
        folds: what is checked.
        must_not_cross: keys of ``GROUPS``.
        protocol: name of what drew the folds, for the message.

    Raises:
        LeakageError: it is; the message names the offenders.
        ProtocolError: a fold names a clip that the corpus does not have, or has nothing to train on or to test.
    """
    by_path = {clip.path: clip for clip in corpus.clips}
    for fold in folds:
        sides = {"train": fold.train, "validation": fold.validation, "test": fold.test}
        for side, paths in sides.items():
            if not paths and side != "validation":
                raise ProtocolError(f"protocol {protocol}, {fold.name}: no recording to {side}")
            if unknown := [path for path in paths if path not in by_path]:
                raise ProtocolError(f"protocol {protocol}, {fold.name}: not in the corpus: {clip_names(unknown)}")
        for what in must_not_cross:
            seen: dict[tuple[str, ...], tuple[str, str]] = {}
            for side, paths in sides.items():
                for path in paths:
                    group = GROUPS[what](by_path[path])
                    other_side, other = seen.setdefault(group, (side, path))
                    if other_side != side:
                        raise LeakageError(
                            f"protocol {protocol}, {fold.name}: one {what} is on both sides, "
                            f"{other} in {other_side} and {path} in {side}"
                        )
