"""The models of the workers, read once in the process that they are all forked from, which imports this module first.

So there is one copy of every weight and every library in memory, and a worker is there some hundredths of a second
after another one died. Where processes are spawned instead, as on Windows, each reads them for itself.
"""

import gc
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cache

import numpy as np

from thymos.audio.source import Limits
from thymos.errors import ThymosError
from thymos.runtime.recognizer import Recognizer, load
from thymos.serving.hearing_process import WANTED


def recognizers(folders: Sequence[str], longest_s: float) -> dict[str, Recognizer]:
    """Return the models in ``folders``, by folder; they hear recordings of up to ``longest_s``, on one thread each.

    Raises:
        BundleError: one of them cannot be used.
    """
    return _recognizers(tuple(folders), longest_s)


@cache
def _recognizers(folders: tuple[str, ...], longest_s: float) -> dict[str, Recognizer]:
    read = {folder: load(folder, threads=1, limits=Limits(longest_s=longest_s)) for folder in folders}
    for recognizer in read.values():
        # The VAD's model, too, and the memory that a first answer needs. No window is cut, so no thread starts, which
        # a fork would leave behind.
        recognizer.predict((np.zeros(16_000, np.float32), 16_000))
    gc.collect()
    gc.freeze()  # what is here stays, and looking through it would copy the pages that workers share
    return read


if WANTED in os.environ:
    with suppress(ThymosError, ValueError, OSError):  # the worker that needs it will meet and tell it
        recognizers(*json.loads(os.environ[WANTED]))
