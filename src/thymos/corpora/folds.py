"""Folds, and the guard that every fold passes before it is used: what must never be on both sides."""

from collections.abc import Callable
from dataclasses import dataclass

from thymos.corpora.table import Clip, Corpus
from thymos.errors import LeakageError, ProtocolError

GroupOf = Callable[[Clip], tuple[str, ...]]

GROUPS: dict[str, GroupOf] = {
    # Exact copies of one recording under two names are one recording.
    "recording": lambda clip: (clip.sound.sha256,),
    "take": lambda clip: (clip.speaker, clip.emotion, clip.sentence),
    "sentence": lambda clip: (clip.sentence,),
    "speaker": lambda clip: (clip.speaker,),
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


@dataclass(frozen=True)
class Protocol:
    """A protocol applied to a corpus: its folds, what must not cross them, and what it named but could not find."""

    name: str
    must_not_cross: tuple[str, ...]
    folds: tuple[Fold, ...]
    absent: tuple[str, ...] = ()
    """Recordings that a file protocol names and the corpus does not have."""


def check_leakage(corpus: Corpus, protocol: Protocol) -> None:
    """Check that nothing which must stay together is on both sides of a fold.

    Raises:
        LeakageError: it is; the message names the offenders.
    """
    by_path = {clip.path: clip for clip in corpus.clips}
    for fold in protocol.folds:
        sides = {"train": fold.train, "validation": fold.validation, "test": fold.test}
        for what in protocol.must_not_cross:
            seen: dict[tuple[str, ...], tuple[str, str]] = {}
            for side, paths in sides.items():
                for path in paths:
                    group = GROUPS[what](by_path[path])
                    other_side, other = seen.setdefault(group, (side, path))
                    if other_side != side:
                        raise LeakageError(
                            f"protocol {protocol.name}, {fold.name}: one {what} is on both sides, "
                            f"{other} in {other_side} and {path} in {side}"
                        )


def check_all_emotions(corpus: Corpus, fold: Fold) -> None:
    """Check that the training part of ``fold`` has every emotion of ``corpus``.

    Raises:
        ProtocolError: it lacks some; the message names them.
    """
    trained = set(fold.train)
    there = {clip.emotion for clip in corpus.clips if clip.path in trained}
    lacking = [emotion for emotion in corpus.emotions if emotion not in there]
    if lacking:
        raise ProtocolError(f"{fold.name} has no recording of {', '.join(lacking)} to train on")
