"""A whole evaluation: corpus, experiment and protocol in; a run folder with results out."""

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from thymos.cache import default_cache_dir
from thymos.corpora import open_corpus
from thymos.corpora.folds import Fold
from thymos.corpora.given_sides import HeldOutCorpora
from thymos.corpora.opening import joined
from thymos.corpora.protocols import Protocol, Split, protocol_named, shuffle_labels
from thymos.corpora.table import Corpus
from thymos.engine.process import chosen_device
from thymos.engine.tasks import Engine, Report, in_use
from thymos.errors import CorpusError, ProtocolError
from thymos.evaluation.fitting import FoldTask, check_fit, epochs_reported, fold_tasks, run_fold
from thymos.evaluation.node_features import for_nodes
from thymos.evaluation.run import RunFolder
from thymos.experiment import Experiment, Work, corpus_for
from thymos.machine import available_cores
from thymos.recipes import load_experiment
from thymos.scoring.paired import FinishedRun
from thymos.scoring.predictions import FoldResult, read_predictions
from thymos.scoring.results import versions
from thymos.scoring.summary import make_results


@dataclass(frozen=True)
class Watcher:
    """Who is told how far it is; every part may be left out."""

    on_features: Callable[[int], None] = lambda total: None
    """How many steps the making of features has."""
    on_feature: Callable[[], None] = lambda: None
    on_folds: Callable[[int, int], None] = lambda folds, epochs: None
    """How many folds there are, and how many epochs each reports at most: 0 where what is fitted knows none."""
    on_report: Report = lambda message: None
    """Gets ``(fold name, epochs done)``."""
    on_fold: Callable[[Fold], None] = lambda fold: None


def evaluate(
    corpus: Corpus | str | Path,
    experiment: Experiment[Any] | str,
    protocol: Protocol | str = "recording",
    *,
    test: Sequence[Corpus | str | Path] = (),
    changes: Sequence[str] = (),
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    only_fold: int | None = None,
    shuffle: bool = False,
    out: str | Path | None = None,
    cache_dir: str | Path | None = None,
    workers: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    engine: Engine | str = "local",
    command: str = "",
    watcher: Watcher = Watcher(),
) -> FinishedRun:
    """Cross-validate an experiment on a corpus by a protocol, and return what it scored.

    A run that was cut short goes on where it stopped, with the same numbers in the end; a finished one is left alone.
    The digits are the same for any number of workers and threads.

    Args:
        corpus: opened, or what ``open_corpus`` takes; of several, ``joined`` makes one.
        experiment: a recipe's name, a recipe file, or an ``Experiment`` of your own. A script of your own that asks for
            several workers must guard its main part by ``if __name__ == "__main__"``.
        protocol: one of ``corpora.protocols.NAMES``, such as ``recording``, ``speaker`` or ``file:PATH``, or a
            ``Protocol`` of your own.
        test: other corpora: fit to all of ``corpus`` and test on each of these, whatever ``protocol`` is, on the labels
            that both sides have.
        changes: of a recipe, such as ``training.epochs=5``.
        folds: for ``recording``, ``take`` and ``sentence``.
        repeats: how often those folds are drawn anew.
        seed: of folds and fits.
        only_fold: run this fold alone, counted from 0 over all repeats.
        shuffle: deal the labels out at random: a control that must score at chance.
        out: the run folder; new, empty, or an earlier run of the same. None: nothing is kept.
        cache_dir: where features are kept; None: the user's cache folder.
        workers: folds fitted at once, each in a process of its own; None: one a thread, 1 where fits have no epochs.
        threads: cores to keep busy; None: all that this process may use.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        engine: where folds are fitted: ``local``, ``ray``, ``ray:HOST:PORT`` or an ``Engine``; changes no digit.
        command: for the record.
        watcher: told how far it is.

    Raises:
        CorpusError: the corpus cannot be opened.
        EngineError: there is no such cluster, or its machines do not suit.
        ProtocolError: the protocol does not fit the corpus.
        LeakageError: its folds leak, or the experiment has heard what would be tested.
        RecipeError: there is no such recipe, or what it asks for cannot be built.
        MissingExtraError: the experiment needs a library that is not installed.
        TrainingError: the loss stopped being a number.
        RunError: ``out`` holds something else, or there is no such device.
        ThymosError: what the experiment says of a test part has the wrong shape, or is no probability.
    """
    cache = Path(cache_dir) if cache_dir else default_cache_dir()
    if isinstance(experiment, str):
        experiment = load_experiment(experiment, changes)
    work = Work(cache, threads or available_cores(), chosen_device(device), seed, watcher.on_feature)
    divided = protocol_named(protocol, folds, repeats) if isinstance(protocol, str) else protocol
    if out is not None:
        RunFolder(Path(out)).check()
    with in_use(engine, workers) as used:
        if not isinstance(corpus, Corpus):
            corpus = open_corpus(str(corpus), cache_dir=cache, keep=True)
        if test:
            corpus, divided = _with_tests(corpus, test, cache)
        evaluation = _Evaluation(
            corpus=corpus,
            experiment=experiment,
            protocol=divided,
            asked={
                "protocol": protocol if isinstance(protocol, str) and not test else divided.name,
                "folds": folds,
                "repeats": repeats,
            },
            seed=seed,
            only_fold=only_fold,
            shuffle=shuffle,
            workers=workers,
            work=work,
            command=command,
            watcher=watcher,
            engine=used,
        )
        if out is not None:
            return evaluation.run(RunFolder(Path(out)))
        with tempfile.TemporaryDirectory(prefix="thymos-") as folder:
            return evaluation.run(RunFolder(Path(folder)))


def _with_tests(corpus: Corpus, test: Sequence[Corpus | str | Path], cache: Path) -> tuple[Corpus, HeldOutCorpora]:
    """Return ``corpus`` and those to test on as one, and the protocol that tests on these.

    Raises:
        CorpusError: one of them cannot be opened, or is on both sides.
    """
    others = [each if isinstance(each, Corpus) else open_corpus(str(each), cache_dir=cache) for each in test]
    whole = joined([corpus, *others])
    moved = [(other.root.relative_to(whole.root) / clip.path).as_posix() for other in others for clip in other.clips]
    corpus_of = {clip.path: clip.corpus for clip in whole.clips}
    tested = dict.fromkeys(corpus_of[path] for path in moved)
    trained = {corpus_of[path] for path in corpus_of.keys() - {*moved}}
    if both := sorted(trained & tested.keys()):
        raise CorpusError(f"{', '.join(both)} would be trained on and tested")
    return whole, HeldOutCorpora(tuple(tested))


@dataclass(frozen=True, kw_only=True)
class _Evaluation:
    """One evaluation, as asked for."""

    corpus: Corpus
    experiment: Experiment[Any]
    protocol: Protocol
    asked: dict[str, Any]
    """How the protocol was asked for."""
    seed: int
    only_fold: int | None
    shuffle: bool
    workers: int | None
    work: Work
    command: str
    watcher: Watcher
    engine: Engine

    def run(self, folder: RunFolder) -> FinishedRun:
        started = time.perf_counter()
        experiment, watcher = self.experiment, self.watcher
        corpus = corpus_for(experiment, self.corpus)
        if self.shuffle:
            corpus = shuffle_labels(corpus, self.seed)
        split = self._divided(corpus)
        check_fit(experiment, corpus, split, self.seed)
        folder.claim(self._identity(corpus, split))
        resumed = sum(map(folder.is_finished, split.folds))
        if resumed == len(split.folds) and (before := folder.results()) is not None:
            return FinishedRun(before, read_predictions(folder.path / "predictions.csv"))
        watcher.on_features(experiment.steps(corpus))
        features = for_nodes(self.engine, experiment, corpus, experiment.features(corpus, self.work), self.work)
        corpus.kept.clear()
        features_wall_s = time.perf_counter() - started
        watcher.on_folds(len(split.folds), epochs_reported(experiment))
        fold_results = self._fold_results(corpus, split, features, folder)
        facts = {
            "shuffled_labels": self.shuffle,
            "threads": self.work.threads,
            "device": self.work.device,
            "command": self.command,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_s": round(time.perf_counter() - started, 3),
            "resumed_folds": resumed,
            "features_wall_s": round(features_wall_s, 3),
            **self._beside_the_settings(),
            **self._provenance(),
        }
        results = make_results(
            corpus, experiment.settings(), experiment.transductive, split, fold_results, self.seed, facts
        )
        predictions = pd.concat([frame for _, frame in fold_results], ignore_index=True)
        folder.finish(results, predictions)
        return FinishedRun(results, predictions)

    def _divided(self, corpus: Corpus) -> Split:
        split = self.protocol.split(corpus, self.seed)
        if self.only_fold is None:
            return split
        if not 0 <= self.only_fold < len(split.folds):
            raise ProtocolError(f"there is no fold {self.only_fold}: they are 0 to {len(split.folds) - 1}")
        return replace(split, folds=(split.folds[self.only_fold],))

    def _fold_results(self, corpus: Corpus, split: Split, features: Any, folder: RunFolder) -> list[FoldResult]:
        """Fit and score every fold that ``folder`` has no result of, and return all results in order."""
        missing = []
        for fold in split.folds:
            if folder.is_finished(fold):
                self.watcher.on_fold(fold)
            else:
                missing.append(fold)
        tasks: list[FoldTask] = fold_tasks(
            corpus, self.experiment, replace(split, folds=tuple(missing)), features, self.seed, self.work
        )
        if tasks:
            workers, threads = dealt_out(self.engine, self.workers, self.experiment, len(tasks), self.work)
            tasks = [replace(task, threads=own) for task, own in zip(tasks, threads, strict=True)]
            done = self.engine.run(run_fold, tasks, workers, on_report=self.watcher.on_report, gpus=self.work.gpus)
            for task, (facts, frame) in done:
                folder.save(task.fold, facts, frame)
                self.watcher.on_fold(task.fold)
        # Read back, so that a run that was cut short and one that was not are made of the same digits.
        return [folder.load(fold) for fold in split.folds]

    def _identity(self, corpus: Corpus, split: Split) -> dict[str, Any]:
        """What a run folder belongs to: everything that decides its numbers."""
        divided = [asdict(fold) for fold in split.folds]
        now = versions()
        return {
            "format": 2,
            "recipe": self.experiment.settings(),
            **self.asked,
            "seed": self.seed,
            "shuffled_labels": self.shuffle,
            "only_fold": self.only_fold,
            "device": self.work.device,
            "versions": {package: now.get(package) for package in ("thymos", "torch", "numpy")},
            "corpus": {clip.path: clip.identity for clip in corpus.clips},
            # A list of folds that somebody else drew may change under the same name.
            "division": hashlib.sha256(json.dumps(divided).encode()).hexdigest(),
            **self._beside_the_settings(),
        }

    def _beside_the_settings(self) -> dict[str, Any]:
        beside = self.experiment.versions()
        return {"deciding": beside} if beside else {}

    def _provenance(self) -> dict[str, Any]:
        told = self.experiment.provenance()
        return {"provenance": told} if told else {}


def dealt_out(
    engine: Engine, asked: int | None, experiment: Experiment[Any], tasks: int, work: Work
) -> tuple[int, list[int]]:
    """Return how many fits run at once, and how many threads each of ``tasks`` gets: in a cluster, one for its core."""
    workers = workers_for(engine, asked, experiment, tasks, work)
    return workers, threads_each(tasks, workers, 1 if engine.many_machines else work.threads)


def workers_for(engine: Engine, asked: int | None, experiment: Experiment[Any], tasks: int, work: Work) -> int:
    """Return how many fits run at once: as many as were ``asked`` for, but no more than there are ``tasks``.

    Where nobody asked, a cluster takes what it has room for. On this machine an accelerator is not shared; a process
    takes seconds to start, so what is fitted in one go, without epochs, is better fitted here; of the rest, each core
    gets one.
    """
    if asked:
        return max(1, min(asked, tasks))
    if engine.many_machines:
        return max(1, min(engine.capacity(work.gpus), tasks))
    if work.device != "cpu" or not experiment.epochs:
        return 1
    return max(1, min(work.threads, tasks))


def threads_each(tasks: int, workers: int, threads: int) -> list[int]:
    """Return how many of the ``threads`` each task gets, which ``workers`` take up in order, one after another.

    The last ones, where they are fewer than the workers, share all threads: else cores would idle for a whole fit.
    """
    last = tasks % workers
    return [max(1, threads // workers)] * (tasks - last) + [max(1, threads // max(1, last))] * last
