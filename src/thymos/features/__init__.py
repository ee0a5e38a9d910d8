"""Waveform -> picture, and the cache of a corpus's pictures."""
