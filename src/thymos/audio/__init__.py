"""Path, bytes or file object -> Waveform -> fixed-length segments."""

from thymos.audio.conditioning import normalise_peak as normalise_peak
from thymos.audio.conditioning import played as played
from thymos.audio.conditioning import resample as resample
from thymos.audio.conditioning import shift_pitch as shift_pitch
from thymos.audio.conditioning import stretch_to as stretch_to
from thymos.audio.conditioning import wiener as wiener
from thymos.audio.decode import AUDIO_SUFFIXES as AUDIO_SUFFIXES
from thymos.audio.decode import AudioInfo as AudioInfo
from thymos.audio.decode import Limits as Limits
from thymos.audio.decode import Samples as Samples
from thymos.audio.decode import Waveform as Waveform
from thymos.audio.decode import read_info as read_info
from thymos.audio.decode import read_waveform as read_waveform
from thymos.audio.segments import cut as cut
from thymos.audio.segments import sliding_spans as sliding_spans
from thymos.audio.segments import study_spans as study_spans
