"""Figures and self-contained HTML pages, made from the files that a run leaves behind."""
