"""What is measured, in which order, and how much of it."""

from pydantic import Field, PositiveFloat, PositiveInt

from thymos.config import Settings

EGEMAPS, COMPARE, SILERO = "opensmile-egemaps", "opensmile-compare", "silero-vad"
WAV2VEC2, WAVLM = "wav2vec2-base", "wavlm-large"
PEERS = {
    SILERO: "Silero VAD (the gate)",
    EGEMAPS: "openSMILE eGeMAPSv02",
    COMPARE: "openSMILE ComParE 2016",
    WAV2VEC2: "wav2vec 2.0 BASE",
    WAVLM: "WavLM LARGE",
}
"""What may be heard beside Thymos, by the word that names it on the command line, and what it is called in tables."""


class Plan(Settings):
    """How much is measured."""

    peers: tuple[str, ...] = tuple(PEERS)
    threads: PositiveInt = 1
    starts: PositiveInt = 15
    """New processes of each kind, in turns."""
    clips_s: PositiveFloat = 300.0
    """Seconds of sound in the files that everybody hears."""
    files_budget_s: PositiveFloat = 20.0
    """Everybody hears files in turn for so long."""
    least_files: PositiveInt = 3
    """Slow peers hear so many files even if that takes longer."""
    stream_s: PositiveFloat = 300.0
    """Seconds of the stream."""
    block_s: PositiveFloat = 0.02
    """It arrives in blocks of this length."""
    hop_s: PositiveFloat = 0.5
    lengths_s: tuple[PositiveFloat, ...] = Field((60.0, 600.0, 1800.0), min_length=1)
    """Of the long files."""
    install: bool = False
    """Install into a new environment, too."""


QUICK = {
    "starts": 3,
    "clips_s": 20.0,
    "files_budget_s": 2.0,
    "least_files": 1,
    "stream_s": 15.0,
    "lengths_s": (40.0, 80.0),
}
"""What ``--quick`` changes: enough to see that all works."""
LONGEST_S = 36_000.0
"""What ``--long`` adds to the lengths."""
