"""Path, bytes or file object -> Waveform -> fixed-length segments.

Names are looked up when they are asked for: what there is to know of formats loads no library of sound.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thymos.audio.conditioning import cut as cut
    from thymos.audio.conditioning import normalise_peak as normalise_peak
    from thymos.audio.conditioning import played as played
    from thymos.audio.conditioning import resample as resample
    from thymos.audio.conditioning import shift_pitch as shift_pitch
    from thymos.audio.conditioning import sliding_spans as sliding_spans
    from thymos.audio.conditioning import stretch_to as stretch_to
    from thymos.audio.conditioning import study_spans as study_spans
    from thymos.audio.conditioning import wiener as wiener
    from thymos.audio.containers import AUDIO_SUFFIXES as AUDIO_SUFFIXES
    from thymos.audio.decode import Waveform as Waveform
    from thymos.audio.decode import read_info as read_info
    from thymos.audio.decode import read_waveform as read_waveform
    from thymos.audio.source import AudioInfo as AudioInfo
    from thymos.audio.source import Limits as Limits
    from thymos.audio.source import Samples as Samples

_HOMES = {
    "thymos.audio.conditioning": (
        "cut",
        "normalise_peak",
        "played",
        "resample",
        "shift_pitch",
        "sliding_spans",
        "stretch_to",
        "study_spans",
        "wiener",
    ),
    "thymos.audio.containers": ("AUDIO_SUFFIXES",),
    "thymos.audio.decode": ("Waveform", "read_info", "read_waveform"),
    "thymos.audio.source": ("AudioInfo", "Limits", "Samples"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
