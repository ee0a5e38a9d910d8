"""Live sound: the microphone in; smoothed emotions, messages to a stage out. Its defaults are here, where saying them
in a help text loads no library of sound."""

from typing import Literal

HOP_S = 0.5
"""From one answer to the next."""
TIME_CONSTANT_S = 2.0
"""Of the smoothing: what was heard this long ago counts 1/e of what is heard now."""
HOLD_S, MARGIN = 0.0, 0.0
"""How long an emotion is held for a stage, and by how much another must be ahead of it."""
STATE_S = 0.1
"""From one message of the level, and of whether somebody speaks, to the next."""
FLOOR_DB = -60.0
"""A level is 0 here, and 1 at full scale."""

PcmFormat = Literal["s16le", "f32le"]
"""Raw samples, little-endian: integers of 16 bits, or floats of 32."""
