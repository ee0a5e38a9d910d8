"""Live sound: the microphone in; smoothed emotions, OSC messages out. Its defaults are here, where saying them in a
help text loads no library of sound."""

from typing import Literal

HOP_S = 0.5
"""From one answer to the next."""
TIME_CONSTANT_S = 2.0
"""Of the smoothing: what was heard this long ago counts 1/e of what is heard now."""

PcmFormat = Literal["s16le", "f32le"]
"""Raw samples, little-endian: integers of 16 bits, or floats of 32."""
