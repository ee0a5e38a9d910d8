"""Statistics of a voice over a recording: how level, timbre and pitch lie, spread and move, as one torch module.

The classical way of emotion recognition (Schuller et al. 2013, The Interspeech 2013 computational paralinguistics
challenge: low-level descriptors, then functionals over time), made of smooth weighted moments of the spectrogram alone,
so that it runs on batches, is exported inside a shipped model's graph, and needs no threshold of its own.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from thymos.encoder.attentive import AttentiveEncoder
from thymos.encoder.level_mel import LevelMelSettings, scale_levels

N_CEPSTRA = 20
BAND_STEP = 4
"""Every fourth band of each channel is a descriptor of its own; neighbours say almost the same."""
SPEECH_DB = -24.0
"""Frames above this level beside the recording's mean count as speech, those near it in part."""
SPEECH_WIDTH_DB = 2.0
HARMONICS = (1.0, 0.8, 0.7, 0.6, 0.5)
"""Weight of each harmonic when a pitch is looked for."""
PITCH_FLOOR_DB = -50.0
PITCH_SHARPNESS_DB = 3.0
PROSODY = ("pitch", "clarity", "level", "tilt", "change", "brightness")
QUANTILES = (0.05, 0.25, 0.75, 0.95)
MODULATIONS_HZ = tuple(0.24 * k for k in range(1, 33))
"""Rates at which level, timbre and pitch waver: up to 7.7 Hz, above the rate of syllables."""
MODULATION_GROUP = 2
"""So many neighbouring rates are averaged."""
LOG_CEPSTRA = 12
"""Cepstra of the log-spaced bands."""
LAGS = (2, 4)
"""Frames, 32 and 64 ms: how long before one descriptor another is, where it is asked how they go together."""
LEADING_CEPSTRA = 10
"""Cepstra, beside prosody, of which that is asked, and how each lies while another is far from its mean."""
MOST_SPREADS = 4.0
"""No frame counts as farther than this from the mean there."""


class VoiceStatistics(nn.Module):
    """``(batch, channels, bands, frames) -> (batch, statistics)``, from levels in dB before scaling.

    The settings' channels are those of ``LevelMelSettings``' default: two of mel bands, one of log-spaced bands.
    """

    cosines: Tensor
    harmonics: Tensor
    pairs: Tensor
    places: Tensor
    modulations: Tensor

    def __init__(self, settings: LevelMelSettings):
        super().__init__()
        if not has_voice_channels(settings):
            raise ValueError("voice statistics need two mel channels and a log channel")
        bands = self.bands = settings.n_bands
        self.register_buffer("cosines", _float32(_dct(bands)), persistent=False)
        low, high = settings.channels[2].fmin_hz, settings.channels[2].fmax_hz
        per_octave = (bands + 1) / math.log2(high / low)
        self.per_octave = per_octave
        self.register_buffer("harmonics", _float32(_harmonic_sieve(bands, per_octave)), persistent=False)
        self.first_cepstrum = 3 * len(range(0, bands, BAND_STEP))
        linked = len(PROSODY) + N_CEPSTRA - 1
        self.register_buffer("pairs", _upper_triangle(linked), persistent=False)
        self.register_buffer("places", torch.arange(bands) / (bands - 1), persistent=False)
        turns = 2 * np.pi * np.array(MODULATIONS_HZ) * settings.hop / settings.rate_hz
        self.register_buffer("modulations", _float32(turns), persistent=False)

    @property
    def count(self) -> int:
        """How many statistics there are."""
        descriptors = (
            sum(len(range(0, self.bands, BAND_STEP)) for _ in range(3)) + N_CEPSTRA + LOG_CEPSTRA + len(PROSODY)
        )
        wavering = len(PROSODY) * len(MODULATIONS_HZ) // MODULATION_GROUP
        linked, leading = len(PROSODY) + N_CEPSTRA - 1, len(PROSODY) + LEADING_CEPSTRA
        links = linked * (linked - 1) // 2 + (len(LAGS) + 1) * leading**2
        return descriptors * (6 + len(QUANTILES)) + wavering + 4 + links

    def forward(self, levels: Tensor) -> Tensor:
        """Return the statistics of ``levels``."""
        descriptors, prosody, speech, voiced = self.descriptors(levels)
        weights = torch.cat([speech.expand(-1, descriptors.shape[1], -1), voiced], dim=1)
        values = torch.cat([descriptors, prosody[:, :1]], dim=1)
        duration = torch.stack([speech.sum((1, 2)), voiced.sum((1, 2))], dim=1)
        timing = torch.cat([torch.log(duration + 1), duration / speech.shape[-1]], dim=1)
        cepstra = descriptors[:, self.first_cepstrum + 1 : self.first_cepstrum + N_CEPSTRA]
        links = self._links(torch.cat([prosody, cepstra], dim=1), speech)
        return torch.cat([_moments(values, weights), self._wavering(prosody), links, timing], dim=1)

    def descriptors(self, levels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return descriptors, prosody, and how far each frame is speech and voiced.

        Shapes ``(batch, descriptors, frames)`` (all but pitch, which only voiced frames have), ``(batch, 6, frames)``
        in the order of ``PROSODY`` (pitch in octaves above the lowest, change in dB per frame, brightness 0 to 1), and
        twice ``(batch, 1, frames)``, 0 to 1.
        """
        short, long, log = levels[:, 0], levels[:, 1], levels[:, 2]
        cepstra, log_cepstra = self.cosines @ short, self.cosines[1 : LOG_CEPSTRA + 1] @ log
        pitch, clarity = self._pitch(log)
        power = 10 ** (short / 10)
        level = 10 * torch.log10(power.mean(1, keepdim=True) + 1e-6)
        bands = short.shape[1]
        tilt = short[:, : bands * 5 // 16].mean(1, keepdim=True) - short[:, bands * 9 // 16 :].mean(1, keepdim=True)
        change = torch.cat(
            [torch.zeros_like(level[..., :1]), (short[..., 1:] - short[..., :-1]).abs().mean(1, True)], 2
        )
        brightness = (power * self.places[:, None]).sum(1, keepdim=True) / power.sum(1, keepdim=True)
        prosody = torch.cat([pitch, clarity, level, tilt, change, brightness], dim=1)
        speech = torch.sigmoid((level - SPEECH_DB) / SPEECH_WIDTH_DB) + 1e-4
        usual = (speech * clarity).sum(-1, keepdim=True) / speech.sum(-1, keepdim=True)
        voiced = speech * torch.sigmoid(4 * (clarity - usual))
        sampled = [channel[:, ::BAND_STEP] for channel in (short, long, log)]
        return torch.cat([*sampled, cepstra, log_cepstra, prosody[:, 1:]], dim=1), prosody, speech, voiced

    def _pitch(self, log: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pitch that a sieve of harmonics finds, in octaves, and how clear it is: ``(batch, 1, frames)``."""
        found = self.harmonics @ log.clamp(min=PITCH_FLOOR_DB)
        found = found - found.mean(1, keepdim=True)
        share = (found / PITCH_SHARPNESS_DB).softmax(1)
        candidates = torch.arange(found.shape[1], dtype=found.dtype) / self.per_octave
        return (share * candidates[:, None]).sum(1, keepdim=True), found.amax(1, keepdim=True) / 10

    def _wavering(self, prosody: Tensor) -> Tensor:
        """Return the logarithm of how much each prosodic descriptor wavers at each rate, pauses and all."""
        centred = prosody - prosody.mean(-1, keepdim=True)
        angles = torch.arange(prosody.shape[-1], dtype=prosody.dtype)[:, None] * self.modulations
        strength = ((centred @ angles.cos()).square() + (centred @ angles.sin()).square() + 1e-9).sqrt()
        grouped = strength.unflatten(-1, (-1, MODULATION_GROUP)).mean(-1)
        return torch.log(grouped + 1).flatten(1)

    def _links(self, values: Tensor, weights: Tensor) -> Tensor:
        """Return how descriptors go together: correlations of all pairs, then of each with each some frames before,
        then how each lies while another is far from its mean, either way, beside when it is near (their co-skewness).

        What moves together is how a voice is used; it differs less from voice to voice than where each lies.
        """
        share = weights / weights.sum(-1, keepdim=True)
        centred = values - (share * values).sum(-1, keepdim=True)
        standard = centred / ((share * centred.square()).sum(-1, keepdim=True) + 1e-6).sqrt()
        weighted = share * standard
        together = (weighted @ standard.transpose(1, 2)).flatten(1)[:, self.pairs]
        leading = standard[:, : len(PROSODY) + LEADING_CEPSTRA]
        now = share * leading
        lagged = [now @ functional.pad(leading, (lag, 0))[..., : leading.shape[-1]].transpose(1, 2) for lag in LAGS]
        near = leading.clamp(-MOST_SPREADS, MOST_SPREADS)
        while_far = (share * (near.square() - 1)) @ near.transpose(1, 2)
        return torch.cat([together, *(links.flatten(1) for links in (*lagged, while_far))], dim=1)


def has_voice_channels(settings: LevelMelSettings) -> bool:
    """Return whether spectrograms of ``settings`` have the channels that statistics of the voice are made from."""
    return [channel.scale for channel in settings.channels] == ["mel", "mel", "log"]


def _moments(values: Tensor, weights: Tensor) -> Tensor:
    """Return weighted statistics of each descriptor: ``(batch, descriptors, frames) -> (batch, 10 × descriptors)``.

    Mean, standard deviation, skewness, quantiles, mean and spread of the change per frame, and slope.
    """
    share = weights / weights.sum(-1, keepdim=True)
    mean = (share * values).sum(-1, keepdim=True)
    centred = values - mean
    spread = (share * centred.square()).sum(-1, keepdim=True).clamp(min=1e-6).sqrt()
    skew = (share * (centred / spread).clamp(-6, 6) ** 3).sum(-1, keepdim=True)
    time = torch.arange(values.shape[-1], dtype=values.dtype)
    time = time / time[-1:].clamp(min=1) - 0.5  # clamped as a tensor: exporting would settle a comparison of lengths
    slope = (share * centred * time).sum(-1, keepdim=True)
    before, after = values[..., :-1], values[..., 1:]
    both = weights[..., 1:] * weights[..., :-1]
    total = both.sum(-1, keepdim=True) + 1e-6
    step = (both * (after - before).abs()).sum(-1, keepdim=True) / total
    jump = ((both * (after - before).square()).sum(-1, keepdim=True) / total).clamp(min=1e-9).sqrt()
    return torch.cat([mean, spread, skew, *_quantiles(values, share), step, jump, slope], dim=1).flatten(1)


def _quantiles(values: Tensor, share: Tensor) -> list[Tensor]:
    """Return weighted quantiles over time: the smallest value up to which enough of the weight lies.

    Every other frame is enough for them, and sorting is slow.
    """
    values, share = values[..., ::2], share[..., ::2]
    ordered, order = values.sort(dim=-1)
    reached = share.gather(-1, order).cumsum(-1) / share.sum(-1, keepdim=True)
    last = values.shape[-1] - 1
    return [ordered.gather(-1, (reached < quantile).sum(-1, keepdim=True).clamp(max=last)) for quantile in QUANTILES]


def _dct(bands: int) -> NDArray[np.float64]:
    """Return the first rows of the orthonormal DCT-II, divided so that the first is a mean: ``(N_CEPSTRA, bands)``."""
    place = (np.arange(bands) + 0.5) / bands
    rows: NDArray[np.float64] = np.cos(np.pi * np.arange(N_CEPSTRA)[:, None] * place) / bands
    rows[1:] *= 2
    return rows


def _harmonic_sieve(bands: int, per_octave: float) -> NDArray[np.float64]:
    """Return for each pitch candidate how much each log-spaced band counts: ``(candidates, bands)``.

    A harmonic beyond the last band counts as the mean of all bands.
    """
    candidates = bands * 9 // 10
    sieve = np.zeros((candidates, bands))
    for number, weight in enumerate(HARMONICS, start=1):
        place = np.arange(candidates) + math.log2(number) * per_octave
        lower = np.floor(place).astype(int)
        share = place - lower
        inside = lower < bands
        rows = np.flatnonzero(inside)
        np.add.at(sieve, (rows, lower[inside]), weight * (1 - share[inside]))
        np.add.at(sieve, (rows, np.minimum(lower[inside] + 1, bands - 1)), weight * share[inside])
        sieve[~inside] += weight / bands
    return sieve


def _upper_triangle(size: int) -> Tensor:
    """Return where a flattened ``size × size`` matrix has what lies above its diagonal."""
    rows, columns = np.triu_indices(size, 1)
    return torch.from_numpy(rows * size + columns)


def _float32(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values).float()


SPREADS = 2.0
"""A standardised value z counts as SPREADS · tanh(z / SPREADS): what a strange voice drives far from the mean says
hardly more than what is a little off it."""


class Described(NamedTuple):
    """What a describer makes of recordings."""

    description: Tensor
    """Shape ``(batch, descriptors)``: statistics of the voice, then the embedding."""
    embedding: Tensor
    """Shape ``(batch, 2 × features)``."""
    frames: Tensor
    """Shape ``(batch, frames, features)``."""


class VoiceDescriber(nn.Module):
    """``(batch, channels, bands, frames), dB -> Described``, of any number of frames."""

    def __init__(self, encoder: AttentiveEncoder, features: LevelMelSettings):
        super().__init__()
        self.features = features
        self.statistics, self.encoder = VoiceStatistics(features), encoder

    def forward(self, levels: Tensor) -> Described:
        """Return the description of ``levels``."""
        encoded = self.encoder(scale_levels(levels, self.features))
        description = torch.cat([self.statistics(levels), encoded.embedding], dim=1)
        return Described(description, encoded.embedding, encoded.frames)


class VoiceNetwork(nn.Module):
    """A describer, standardisation, and one linear layer: levels in dB to logits.

    ``(batch, channels, bands, frames) -> (batch, classes)``. Its numbers come from ``training.discriminant``.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, describer: VoiceDescriber, descriptors: int, n_classes: int):
        super().__init__()
        self.describer = describer
        self.register_buffer("mean", torch.zeros(descriptors))
        self.register_buffer("spread", torch.ones(descriptors))
        self.linear = nn.Linear(descriptors, n_classes)

    def forward(self, levels: Tensor) -> Tensor:
        """Return the logits of ``levels``."""
        return self.decide(self.describer(levels).description)

    def decide(self, description: Tensor) -> Tensor:
        """Return the logits of descriptions: ``(batch, descriptors) -> (batch, classes)``."""
        logits: Tensor = self.linear(_drawn_in((description - self.mean) / self.spread))
        return logits

    def frame_logits(self, described: Described) -> Tensor:
        """Return how each frame spoke for each class: ``(batch, frames, classes)``.

        They are the recording's logits as if the frame's features were the embedding's mean.
        """
        features = described.frames.shape[2]
        part = slice(self.describer.statistics.count, self.describer.statistics.count + features)
        mean, spread = self.mean[part], self.spread[part]
        own = _drawn_in((described.frames - mean) / spread)
        usual = _drawn_in((described.description[:, None, part] - mean) / spread)
        logits: Tensor = self.decide(described.description)[:, None] + (own - usual) @ self.linear.weight[:, part].T
        return logits


def _drawn_in(standard: Tensor) -> Tensor:
    return SPREADS * torch.tanh(standard / SPREADS)
