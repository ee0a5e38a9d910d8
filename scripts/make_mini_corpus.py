"""Make the synthetic mini corpus in `data/mini-aesdd`: 150 short clips in the layout of AESDD.

No human voice is in it. The Greek voice of espeak-ng speaks five neutral sentences with six voice
variants, and this script shapes rate, pitch, pauses, tremor, timbre and loudness per "emotion". The corpus
lets the demo and the tests run without a download; numbers on it say nothing about emotion recognition.

    python scripts/make_mini_corpus.py --out data/mini-aesdd --seed 1

The same seed, espeak-ng version and Opus encoder give the same bytes.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile as sf
import soxr
import typer
from scipy import signal

Samples: TypeAlias = npt.NDArray[np.float64]

RATE = 24_000  # a rate Opus knows that keeps all of espeak-ng's 22.05 kHz output
COMPRESSION_LEVEL = 0.935  # libsndfile turns this into about 22 kbit/s for one channel
TRIM_DB = -45.0  # quieter than this below the peak counts as silence at the ends
ESPEAK_TIMEOUT_S = 30
MARK_FILE = "SYNTHETIC"  # Thymos looks for it, and labels every result as synthetic
MARK = "No human voice is heard here: made by scripts/make_mini_corpus.py"

# espeak-ng variant and an offset on its 0-99 pitch scale; odd voices are male, even ones female.
VOICES: tuple[tuple[str, float], ...] = (
    ("el+m1", 0.0),
    ("el+f1", -4.0),
    ("el+m3", 6.0),
    ("el+f2", 0.0),
    ("el+m7", -5.0),
    ("el+f4", 5.0),
)

# "|" marks where a speaker would breathe; the pause there is part of the prosody.
SENTENCES: tuple[str, ...] = (
    "Το τρένο φεύγει | στις οκτώ το πρωί.",
    "Το βιβλίο είναι | πάνω στο τραπέζι.",
    "Η Μαρία αγόρασε ψωμί | από τον φούρνο.",
    "Αύριο το απόγευμα | θα περάσω από το γραφείο.",
    "Το λεωφορείο σταματάει | μπροστά στο σχολείο κάθε μισή ώρα.",
)


class CorpusError(Exception):
    """Something the user can act on; its text is one sentence."""


@dataclass(frozen=True)
class Prosody:
    """How one clip is spoken; all fields are numbers, so that prosodies can be mixed and jittered."""

    rate_wpm: float
    pitch: float  # espeak-ng's 0-99 scale
    pitch_range: float  # percent of the voice's own range
    pause_ms: float
    level_db: float  # RMS, relative to full scale
    tilt_db: float  # gain above TILT_HZ
    drive: float  # soft clipping; 0 is none
    breath: float  # noise that follows the voice, relative to it
    tremor: float  # depth of the amplitude tremor; the pitch trembles along with it


EMOTIONS: dict[str, Prosody] = {
    "anger": Prosody(192, 60, 140, 60, -18, 6, 2.2, 0.01, 0.05),
    "disgust": Prosody(156, 34, 110, 170, -21, 0, 1.5, 0.03, 0.05),
    "fear": Prosody(196, 64, 75, 170, -23, 1, 0.3, 0.06, 0.45),
    "happiness": Prosody(182, 60, 180, 80, -20, 3, 0.3, 0.02, 0.08),
    "sadness": Prosody(138, 36, 55, 280, -25, -6, 0.1, 0.08, 0.15),
}
# The spread from clip to clip, and the values no clip may leave.
JITTER = Prosody(12, 6, 22, 45, 2.0, 1.8, 0.4, 0.015, 0.08)
LOWEST = Prosody(115, 5, 20, 0, -32, -10, 0.0, 0.0, 0.0)
HIGHEST = Prosody(240, 95, 220, 450, -14, 10, 4.0, 0.15, 0.8)

TILT_HZ = 1500.0
PITCH_TREMOR = 0.06  # relative pitch deviation at a tremor of 1


# Prosody of one clip


def neutral_prosody() -> Prosody:
    """The mean of all emotions, towards which a weakly expressed clip moves."""
    return Prosody(*np.mean([astuple(p) for p in EMOTIONS.values()], axis=0).tolist())


def draw_prosody(emotion: str, pitch_offset: float, rng: np.random.Generator) -> Prosody:
    """The emotion's prosody, more or less strongly expressed and jittered.

    Without this every clip of an emotion would carry the same numbers and any classifier would reach 100 %.
    """
    target, neutral = np.array(astuple(EMOTIONS[emotion])), np.array(astuple(neutral_prosody()))
    strength = np.clip(rng.normal(1.0, 0.2), 0.4, 1.4)
    drawn = neutral + strength * (target - neutral) + rng.normal(size=target.size) * astuple(JITTER)
    drawn[1] += pitch_offset
    return Prosody(*np.clip(drawn, astuple(LOWEST), astuple(HIGHEST)).tolist())


# Speech from espeak-ng


def find_espeak() -> str:
    """The path of espeak-ng, or a sentence that says how to get it."""
    path = shutil.which("espeak-ng")
    if path is None:
        raise CorpusError("espeak-ng is not on the PATH: install Debian's package espeak-ng and try again.")
    return path


def espeak_version(espeak: str) -> str:
    """The version number alone, since the full line also names folders of this machine."""
    text = subprocess.run([espeak, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+(\.\d+)+\S*", text)
    return found.group() if found else "of unknown version"


def ssml(sentence: str, prosody: Prosody) -> str:
    """The sentence with pitch range and pause, for which espeak-ng has no command-line options."""
    spoken = sentence.replace(" | ", f'<break time="{prosody.pause_ms:.0f}ms"/> ')
    return f'<speak><prosody range="{prosody.pitch_range:.0f}%">{spoken}</prosody></speak>'


def run_espeak(command: list[str], text: str, voice: str) -> None:
    """Run espeak-ng on the text, and turn whatever goes wrong into one sentence."""
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=False, timeout=ESPEAK_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CorpusError(f"espeak-ng did not run or did not end for voice {voice}.") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        reason = said[0].rstrip(".")
        raise CorpusError(f"espeak-ng failed for voice {voice} with exit status {done.returncode}: {reason}.")


def speak(espeak: str, voice: str, sentence: str, prosody: Prosody) -> Samples:
    """The sentence as espeak-ng says it, at RATE."""
    options = ["-v", voice, "-s", f"{prosody.rate_wpm:.0f}", "-p", f"{prosody.pitch:.0f}"]
    # Amplitude 60 keeps the loudest variants from clipping; "-b 1" is UTF-8 whatever the locale.
    options += ["-a", "60", "-m", "-b", "1", "--stdin"]
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        run_espeak([espeak, *options, "-w", str(wav)], ssml(sentence, prosody), voice)
        try:
            samples, rate = sf.read(wav, dtype="float64")
        except (OSError, sf.SoundFileError) as error:
            raise CorpusError(f"espeak-ng gave no readable speech for voice {voice}.") from error
    if not np.any(samples):
        raise CorpusError(f"espeak-ng gave only silence for voice {voice}.")
    return np.asarray(soxr.resample(samples, rate, RATE), dtype=np.float64)


# Shaping the sound


def trim(samples: Samples) -> Samples:
    """The samples without the silence espeak-ng puts at both ends."""
    loud = np.flatnonzero(np.abs(samples) > np.max(np.abs(samples)) * 10 ** (TRIM_DB / 20))
    return samples[loud[0] : loud[-1] + 1]


def add_tremor(samples: Samples, depth: float, rng: np.random.Generator) -> Samples:
    """Make loudness and pitch tremble together at about 6.5 Hz."""
    seconds = np.arange(samples.size) / RATE
    hertz, phase = rng.uniform(5.5, 7.5), rng.uniform(0, 2 * np.pi)
    angle = 2 * np.pi * hertz * seconds + phase
    # A pitch that swings by a factor 1 ± d is a delay that swings by d / (2 pi f).
    delay = depth * PITCH_TREMOR / (2 * np.pi * hertz) * np.sin(angle)
    trembling: Samples = np.interp(seconds + delay, seconds, samples)
    return np.asarray(trembling * (1 + depth * np.cos(angle)) / (1 + depth))


def add_breath(samples: Samples, amount: float, rng: np.random.Generator) -> Samples:
    """Add high noise that follows the loudness of the voice."""
    smooth = signal.butter(2, 20, fs=RATE, output="sos")
    envelope = np.maximum(signal.sosfiltfilt(smooth, np.abs(samples)), 0)
    high = signal.butter(2, 2000, "highpass", fs=RATE, output="sos")
    noise = signal.sosfilt(high, rng.normal(size=samples.size))
    return np.asarray(samples + 2 * amount * envelope * noise)


def tilt_spectrum(samples: Samples, gain_db: float) -> Samples:
    """Raise or lower everything above TILT_HZ: a shelf made of the low part plus the scaled high part."""
    b, a = signal.butter(1, TILT_HZ, "highpass", fs=RATE)
    return np.asarray(samples + (10 ** (gain_db / 20) - 1) * signal.lfilter(b, a, samples))


def soft_clip(samples: Samples, drive: float) -> Samples:
    """Press the peaks together, which gives a strained, rough sound."""
    unit = samples / np.max(np.abs(samples))
    return unit if drive < 0.05 else np.asarray(np.tanh(drive * unit) / np.tanh(drive))


def set_level(samples: Samples, level_db: float) -> Samples:
    """Scale to an RMS level, but never so far that the peaks clip."""
    gain = 10 ** (level_db / 20) / np.sqrt(np.mean(samples**2))
    return np.asarray(samples * min(gain, 0.95 / np.max(np.abs(samples))))


def add_room(samples: Samples, rng: np.random.Generator) -> Samples:
    """Put a little silence around the speech and light low-pitched background noise under all of it."""
    before, after = (int(RATE * s) for s in rng.uniform(0.05, 0.2, size=2))
    padded = np.pad(samples, (before, after))
    noise = signal.lfilter([1.0], [1.0, -0.9], rng.normal(size=padded.size))
    return padded + set_level(np.asarray(noise), rng.uniform(-62, -52))


def make_clip(espeak: str, emotion: str, sentence: int, voice: int, seed: int) -> Samples:
    """One clip; its randomness depends on nothing but the arguments, so a subset has the same clips."""
    rng = np.random.default_rng([seed, list(EMOTIONS).index(emotion), sentence, voice])
    variant, pitch_offset = VOICES[voice - 1]
    prosody = draw_prosody(emotion, pitch_offset, rng)
    samples = trim(speak(espeak, variant, SENTENCES[sentence - 1], prosody))
    samples = add_tremor(samples, prosody.tremor, rng)
    samples = add_breath(samples, prosody.breath, rng)
    samples = tilt_spectrum(samples, prosody.tilt_db)
    samples = soft_clip(samples, prosody.drive)
    return add_room(set_level(samples, prosody.level_db), rng)


# Files


def clip_name(emotion: str, sentence: int, voice: int) -> str:
    """AESDD's own naming, `xAA (B)`: first letter of the emotion, sentence, speaker."""
    return f"{emotion[0]}{sentence:02d} ({voice}).opus"


def ogg_crc_table() -> list[int]:
    """The table of Ogg's checksum (CRC-32 with polynomial 04c11db7, not reflected)."""
    table = []
    for value in range(256):
        crc = value << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)
        table.append(crc & 0xFFFFFFFF)
    return table


OGG_CRC = ogg_crc_table()


def ogg_checksum(page: bytes) -> int:
    """The checksum of an Ogg page whose own checksum field is zero."""
    crc = 0
    for byte in page:
        crc = ((crc << 8) & 0xFFFFFFFF) ^ OGG_CRC[(crc >> 24) ^ byte]
    return crc


def with_serial(ogg: bytes, serial: int) -> bytes:
    """The Ogg stream under a given serial number.

    libsndfile draws it from the clock, so every run's files would differ although the sound is the same.
    """
    out, start = bytearray(ogg), 0
    while start < len(ogg):
        segments = ogg[start + 26]
        end = start + 27 + segments + sum(ogg[start + 27 : start + 27 + segments])
        out[start + 14 : start + 18] = serial.to_bytes(4, "little")
        out[start + 22 : start + 26] = bytes(4)
        out[start + 22 : start + 26] = ogg_checksum(bytes(out[start:end])).to_bytes(4, "little")
        start = end
    return bytes(out)


def encode(samples: Samples, title: str, serial: int) -> bytes:
    """The clip as Ogg Opus that says in its own tags that it is synthetic."""
    buffer = io.BytesIO()
    settings = {"format": "OGG", "subtype": "OPUS", "compression_level": COMPRESSION_LEVEL}
    with sf.SoundFile(buffer, "w", samplerate=RATE, channels=1, **settings) as file:
        file.title = title
        file.comment = "SYNTHETIC speech by espeak-ng; no human voice, no emotion felt or acted"
        file.license = "CC0-1.0"
        file.write(samples)
    return with_serial(buffer.getvalue(), serial)


def readme(command: str, version: str, sentences: int, voices: int) -> str:
    """The text that travels with the corpus."""
    rows = "\n".join(f"| {n:02d} | {s.replace(' | ', ' ')} |" for n, s in enumerate(SENTENCES[:sentences], 1))
    names = "\n".join(f"| {n} | `{v}` |" for n, (v, _) in enumerate(VOICES[:voices], 1))
    clips = len(EMOTIONS) * sentences * voices
    return f"""# Mini corpus (synthetic)

**Everything here is SYNTHETIC.** There is no human voice in these files, and no emotion was felt or acted.
The Greek voice of espeak-ng {version} speaks neutral sentences; a script changes its rate, pitch, pauses,
tremor, timbre and loudness by a fixed recipe per label, with random jitter and light background noise.

**What it is for:** the demo and the tests, so that everything runs without a download.

**What it is not for:** numbers on it say nothing about emotion recognition. A model that scores well here
has learned the script's recipe. It is not AESDD (Acted Emotional Speech Dynamic Database), holds nothing of
it, and only copies its file layout.

## Layout

{len(EMOTIONS)} labels x {sentences} sentences x {voices} voices = {clips} clips, Ogg Opus,
{RATE // 1000} kHz, one channel: `<emotion>/xAA (B).opus`, where x is the first letter of the emotion
({", ".join(EMOTIONS)}), AA the sentence and B the voice.
Each file's `comment` tag starts with `SYNTHETIC`.

| AA | sentence |
|---|---|
{rows}

| B | espeak-ng voice |
|---|---|
{names}

## How it was made

    {command}

The same seed, espeak-ng version and Opus encoder give the same files.

## Licence

The audio is released under CC0-1.0; the script is under Apache-2.0. espeak-ng is only the tool that spoke:
none of its code or data files are included here.
"""


def check_replaceable(out: Path) -> None:
    """Refuse a folder that holds anything but an earlier mini corpus: it might be real recordings."""
    if not out.exists():
        return
    if not out.is_dir():
        raise CorpusError(f"{out} is not a folder.")
    mark = out / MARK_FILE
    ours = mark.is_file() and MARK in mark.read_text(encoding="utf-8", errors="replace")
    if not ours and any(out.iterdir()):
        raise CorpusError(f"{out} is not empty and holds no earlier mini corpus; give another --out.")


def move_into_place(built: Path, out: Path) -> None:
    """Replace the earlier corpus, if any, by the finished one."""
    out.mkdir(parents=True, exist_ok=True)
    for new in built.iterdir():
        old = out / new.name
        if old.is_dir():
            shutil.rmtree(old)
        shutil.move(new, old)


def build_corpus(out: Path, seed: int, sentences: int, voices: int, tell: Callable[[str], None]) -> int:
    """Write the corpus to `out`, which is touched only once all clips are made; return its size in bytes."""
    espeak = find_espeak()
    check_replaceable(out)
    size = 0
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "corpus"
        for label, emotion in enumerate(EMOTIONS):
            (built / emotion).mkdir(parents=True)
            for sentence in range(1, sentences + 1):
                for voice in range(1, voices + 1):
                    name = clip_name(emotion, sentence, voice)
                    clip = make_clip(espeak, emotion, sentence, voice, seed)
                    data = encode(clip, f"{emotion}/{name}", label * 10_000 + sentence * 100 + voice)
                    size += (built / emotion / name).write_bytes(data)
            tell(f"{emotion}: {sentences * voices} clips")
        options = f"--seed {seed} --sentences {sentences} --voices {voices}"
        text = readme(f"python scripts/make_mini_corpus.py {options}", espeak_version(espeak), sentences, voices)
        (built / "README.md").write_text(text, encoding="utf-8")
        (built / MARK_FILE).write_text(MARK + "\n", encoding="utf-8")
        move_into_place(built, out)
    return size


def main(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("data/mini-aesdd"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of all randomness.")] = 1,
    sentences: Annotated[int, typer.Option(min=1, max=5, help="Use only the first N sentences.")] = 5,
    voices: Annotated[int, typer.Option(min=1, max=6, help="Use only the first N voices.")] = 6,
) -> None:
    """Make the synthetic mini corpus (needs espeak-ng)."""
    try:
        size = build_corpus(out, seed, sentences, voices, typer.echo)
    except (CorpusError, OSError, sf.SoundFileError) as error:
        typer.echo(f"The mini corpus was not made: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{len(EMOTIONS) * sentences * voices} synthetic clips, {size / 1e6:.2f} MB, in {out}")


if __name__ == "__main__":
    typer.run(main)
