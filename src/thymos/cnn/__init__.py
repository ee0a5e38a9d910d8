"""The study's spectrogram networks, end to end: recipe, front end, spectrograms, augmentation, networks, fit."""
