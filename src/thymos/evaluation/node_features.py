"""Features where fits are done on other machines: made once a machine, and shared by all its workers.

Features lie in the cache folder, as a rule. A machine that sees the folder of the one that made them reads them there;
that is told by a mark in it. Any other makes them of its own copy of the recordings, in a cache folder of its own,
while its other workers wait: so either the cache folder or the recordings have to be on every machine.
"""

import hashlib
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from thymos.cache import default_cache_dir
from thymos.corpora.table import Corpus
from thymos.engine.tasks import Engine, Shared
from thymos.errors import EngineError
from thymos.experiment import Experiment, Work
from thymos.files import write_text

_MARK = "seen-by-nodes"


@dataclass(frozen=True)
class _Made:
    """Features, and what they were made of."""

    features: Any
    experiment: Experiment[Any]
    corpus: Corpus
    seed: int
    device: str


@dataclass(frozen=True)
class NodeFeatures:
    """Features of a corpus, for tasks that may be worked on by other machines."""

    made: Shared[_Made]
    name: str
    """What they are called, wherever they are made."""
    cache_dir: Path
    """Where they lie on the machine that made them first."""
    mark: str
    """What stands in a file of that folder."""


def for_nodes(engine: Engine, experiment: Experiment[Any], corpus: Corpus, features: Any, work: Work) -> Any:
    """Return ``features`` of ``corpus`` ready for tasks of ``engine``: themselves, if it works on this machine alone.

    Args:
        engine: that will work on the tasks.
        experiment: that made them.
        corpus: of which.
        features: what ``experiment.features`` returned.
        work: what it was given.
    """
    if not engine.many_machines:
        return features
    marked = work.cache_dir / _MARK
    if not marked.is_file():
        write_text(marked, secrets.token_hex(16))
    key = f"{experiment.features_key(corpus)} {work.seed} {work.device}"
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    made = engine.share(_Made(features, experiment, corpus, work.seed, work.device))
    return NodeFeatures(made, name, work.cache_dir, marked.read_text())


@contextmanager
def features_here(features: Any, cache_dir: Path, threads: int) -> Iterator[tuple[Any, Path]]:
    """Yield features and the cache folder for a task on this machine.

    Args:
        features: as ``for_nodes`` returned them.
        cache_dir: the task's, on the machine that made it.
        threads: cores to keep busy where they have to be made.

    Raises:
        EngineError: what is done in the block, or making the features, needs a file that is not on this machine.
    """
    if not isinstance(features, NodeFeatures):
        yield features, cache_dir
        return
    try:
        if _sees(features):
            yield features.made.get().features, cache_dir
        else:
            own = default_cache_dir()
            yield _made_here(features, own, threads), own
    except FileNotFoundError as error:  # such as a model that the recipe names
        raise EngineError(f"the node {platform.node()} lacks a file: {error}; put it on every node") from None


def _sees(features: NodeFeatures) -> bool:
    try:
        return (features.cache_dir / _MARK).read_text() == features.mark
    except OSError:
        return False


def _made_here(features: NodeFeatures, cache_dir: Path, threads: int) -> Any:
    """Return the features, made on this machine unless this process has done so before."""
    if features.name not in _here:
        made = features.made.get()
        for clip in made.corpus.clips:
            if not (made.corpus.root / clip.lies_in).is_file():
                raise EngineError(
                    f"the node {platform.node()} sees neither the cache folder {features.cache_dir} nor the recordings,"
                    f" such as {made.corpus.root / clip.lies_in}: share one of both with every node"
                )
        with _alone(cache_dir / "nodes" / f"{features.name}.lock"):
            work = Work(cache_dir, threads, made.device, made.seed)
            _here[features.name] = made.experiment.features(made.corpus, work)
    return _here[features.name]


_here: dict[str, Any] = {}
"""Features that this process has made, by name."""


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process of this machine is in such a block; one that is killed leaves it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        _lock(file)
        yield


def _lock(file: IO[bytes]) -> None:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows: they are made more than once, to the same digits
        return
    fcntl.flock(file, fcntl.LOCK_EX)
