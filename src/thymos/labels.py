"""The emotion vocabulary, how the words that corpora use map onto it, and the order of names."""

import re

EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "neutral", "calm", "surprise")
"""Every emotion word that Thymos knows, in the order in which tables and probabilities list them."""

AESDD_EMOTIONS = EMOTIONS[:5]
"""The five acted emotions of AESDD, in the study's order."""

_OTHER_WORDS = {
    "angry": "anger",
    "ang": "anger",
    "rage": "anger",
    "disgusted": "disgust",
    "dis": "disgust",
    "fearful": "fear",
    "fea": "fear",
    "afraid": "fear",
    "scared": "fear",
    "happy": "happiness",
    "hap": "happiness",
    "joy": "happiness",
    "joyful": "happiness",
    "sad": "sadness",
    "neu": "neutral",
    "calmness": "calm",
    "surprised": "surprise",
    "sur": "surprise",
    "pleasant_surprise": "surprise",
}


def to_emotion(word: str) -> str | None:
    """Return the vocabulary's word for a corpus's own ``word``, or None where there is none."""
    plain = word.strip().lower().replace(" ", "_").replace("-", "_")
    if plain in EMOTIONS:
        return plain
    return _OTHER_WORDS.get(plain)


def in_order(words: set[str]) -> tuple[str, ...]:
    """Return emotion words in the vocabulary's order."""
    return tuple(emotion for emotion in EMOTIONS if emotion in words)


def natural_key(word: str) -> tuple[tuple[bool, int, str], ...]:
    """Return a sorting key under which "2" comes before "10" and "s2" before "s10"."""
    parts = re.findall(r"[0-9]+|[^0-9]+", word)
    return tuple((not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts)
