"""Figures and self-contained HTML pages, made from the files that a run leaves behind."""

import os

from thymos.cache import cache_place

# Matplotlib keeps its list of fonts, and nothing of ours is written outside --out and the cache. Read as it is imported.
if (_place := cache_place()) is not None:
    os.environ.setdefault("MPLCONFIGDIR", str(_place / "matplotlib"))
