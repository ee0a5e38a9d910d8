"""Folds and fitted networks -> scores with intervals, in a run folder."""
