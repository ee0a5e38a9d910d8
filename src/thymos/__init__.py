"""Thymos: speech emotion recognition with small convolutional networks, judged honestly."""

from importlib.metadata import version

__version__ = version("thymos")
