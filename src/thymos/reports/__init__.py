"""Figures and self-contained HTML pages, made from the files that a run leaves behind."""

import os

from thymos.cache import cache_place

# Matplotlib keeps a list of fonts as it is imported, and nothing of ours is written outside --out and the cache.
if (_place := cache_place()) is not None:
    os.environ.setdefault("MPLCONFIGDIR", str(_place / "matplotlib"))
