"""What is checked before any work is done: that a fit is possible, and that what would be tested was never heard."""

from contextlib import suppress
from typing import Any

from thymos.corpora.protocols import Split
from thymos.corpora.table import Corpus
from thymos.errors import LeakageError
from thymos.evaluation.fitting import inner_folds, training_part
from thymos.experiment import Experiment


def check_fit(experiment: Experiment[Any], corpus: Corpus, split: Split, seed: int) -> None:
    """Check, before any work is done, that ``experiment`` can be fitted to every fold of ``split`` and tested on it.

    What it has heard may be trained on: of a corpus that is never tested, that is no leak.

    Raises:
        LeakageError: it has heard recordings that would be tested.
        ThymosError: it cannot be fitted to such a corpus, or a library that it needs is not installed.
    """
    tested = {path for fold in split.folds for path in fold.test}
    if len(tested) < len(corpus.clips):
        with suppress(LeakageError):
            experiment.check(corpus)
        experiment.check(corpus.part(tested))
    else:
        experiment.check(corpus)
    check_folds(corpus, experiment, split, seed)


def check_folds(corpus: Corpus, experiment: Experiment[Any], split: Split, seed: int) -> None:
    """Check, before features are made, that ``experiment`` can be fitted to every fold of ``split``.

    Raises:
        ProtocolError: a training part has one emotion only, or cannot be divided further though it has to be.
    """
    targets = corpus.targets
    for fold in split.folds if experiment.learns else ():
        training_part(corpus, targets, tuple(corpus.rows(fold.train).tolist()), seed, fold.name)
        if experiment.inner_splits:
            for inner in inner_folds(corpus, experiment, split, fold, seed):
                training_part(corpus, targets, tuple(corpus.rows(inner.train).tolist()), seed, inner.name)
