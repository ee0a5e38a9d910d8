"""Recipes and studies as YAML; `configs` at the top of the repository is a link to this folder."""
