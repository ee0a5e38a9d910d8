"""One module for each corpus or format that is read."""
