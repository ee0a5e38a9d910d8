"""Labels: the house's own emotion words, the words of ten languages that mean them, and the order of names.

A label may be any word. One that means an emotion of the house is recognised, whatever its language; every other one
stays as it is. Two labels are one if they differ in case, in spaces around or between words, or in how their accents
are encoded.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "neutral", "calm", "surprise")
"""Every emotion word of the house, in the order in which tables and probabilities list them."""

DIMENSIONS = ("arousal", "valence", "dominance")
"""Every dimension of emotion, in the order in which tables list them (Russell & Mehrabian 1977, Evidence for a
three-factor theory of emotions)."""

AESDD_EMOTIONS = EMOTIONS[:5]
"""The five acted emotions of AESDD, in the study's order."""

# English and the usual codes of corpora (IEMOCAP, CREMA-D, EMOVO, TESS); then German, Greek, French, Italian, Spanish,
# Polish, Turkish, Portuguese, Dutch: nouns and adjectives, with commas between them. Accents are not needed, and not
# looked at. What is close to an emotion and is not it, such as frustration or anxiety, is left to a label map.
_WORDS = {
    "anger": (
        "angry, ang, rage, raging, mad, fury, furious",
        "Wut, wütend, Zorn, zornig, Ärger, Aerger, ärgerlich, verärgert",
        "θυμός, θυμωμένος, θυμωμένη, θυμωμένο, οργή, οργισμένος, οργισμένη",
        "colère, en colère, fâché, fâchée, furieux, furieuse",
        "rabbia, rab, arrabbiato, arrabbiata, ira, irato, collera, furioso, furiosa",
        "enfado, enfadado, enfadada, enojo, enojado, enojada, rabia, furia",
        "złość, zły, zła, gniew, gniewny, rozgniewany, wściekłość, wściekły",
        "öfke, öfkeli, kızgın, kızgınlık, sinirli",
        "raiva, com raiva, zangado, zangada",
        "boosheid, boos, woede, woedend, kwaad, kwaadheid",
    ),
    "disgust": (
        "disgusted, dis",
        "Ekel, angeekelt, angewidert, Abscheu",
        "αηδία, αηδιασμένος, αηδιασμένη, αποστροφή",
        "dégoût, dégoûté, dégoûtée",
        "disgusto, disgustato, disgustata",
        "asco, asqueado, asqueada, repugnancia",
        "wstręt, obrzydzenie, odraza",
        "iğrenme, iğrenmiş, tiksinti, tiksinme",
        "nojo, com nojo, repulsa, aversão",
        "walging, afschuw, afkeer, walgend",
    ),
    "fear": (
        "fearful, fea, afraid, scared, frightened",
        "Angst, ängstlich, Furcht, furchtsam, verängstigt",
        "φόβος, φοβισμένος, φοβισμένη, τρομαγμένος, τρόμος",
        "peur, effrayé, effrayée, apeuré, apeurée",
        "paura, pau, impaurito, impaurita, spaventato, spaventata",
        "miedo, asustado, asustada, temor, temeroso, temerosa",
        "strach, lęk, przestraszony, przestraszona, przerażony, przerażona",
        "korku, korkmuş, korkulu, korkan",
        "medo, com medo, assustado, assustada, amedrontado, amedrontada",
        "bang, bangheid, angstig, vrees",
    ),
    "happiness": (
        "happy, hap, joy, joyful, joyous",
        "Freude, freudig, fröhlich, Fröhlichkeit, Glück, glücklich, froh",
        "χαρά, χαρούμενος, χαρούμενη, χαρούμενο, ευτυχία, ευτυχισμένος, ευτυχισμένη",
        "joie, joyeux, joyeuse, bonheur, heureux, heureuse",
        "gioia, gio, gioioso, gioiosa, felicità, felice, allegria, allegro, allegra",
        "alegría, alegre, felicidad, feliz, contento, contenta",
        "radość, radosny, radosna, szczęście, szczęśliwy, szczęśliwa, wesoły, wesoła",
        "mutlu, mutluluk, neşe, neşeli, sevinç, sevinçli",
        "alegria, felicidade, contente",
        "blijdschap, blij, vreugde, geluk, gelukkig, vrolijk, vrolijkheid",
    ),
    "sadness": (
        "sad, sorrow, sorrowful",
        "Trauer, traurig, Traurigkeit",
        "λύπη, λυπημένος, λυπημένη, λυπημένο, θλίψη, θλιμμένος, θλιμμένη, στενοχώρια, στενοχωρημένος",
        "tristesse, triste",
        "tristezza, tri",
        "tristeza",
        "smutek, smutny, smutna",
        "üzgün, üzüntü, üzüntülü, hüzün, hüzünlü, mutsuz",
        "entristecido, entristecida",
        "verdriet, verdrietig, droevig, droefheid, treurig, bedroefd",
    ),
    "neutral": (
        "neu, neutrality",
        "Neutralität, neutrale",
        "ουδέτερο, ουδέτερος, ουδέτερη, ουδετερότητα",
        "neutre, neutralité",
        "neutro, neutra, neutralità",
        "neutralidad",
        "neutralny, neutralna, neutralność, neutralne",
        "nötr, tarafsız",
        "neutralidade",
        "neutraal, neutraliteit",
    ),
    "calm": (
        "calmness",
        "ruhig, Ruhe, gelassen, Gelassenheit",
        "ηρεμία, ήρεμος, ήρεμη, ήρεμο",
        "calme",
        "calma, calmo",
        "calmado, calmada, tranquilo, tranquila, tranquilidad",
        "spokój, spokojny, spokojna",
        "sakin, sakinlik",
        "tranquilidade",
        "kalm, kalmte, rustig",
    ),
    "surprise": (
        "surprised, sur, pleasant surprise, pleasantly surprised, ps",
        "Überraschung, überrascht, Ueberraschung, erstaunt, Erstaunen",
        "έκπληξη, έκπληκτος, έκπληκτη",
        "surpris, étonnement, étonné, étonnée",
        "sorpresa, sor, sorpreso, stupore",
        "sorprendido, sorprendida, asombro",
        "zdziwienie, zdziwiony, zdziwiona, zaskoczenie, zaskoczony, zaskoczona",
        "şaşkınlık, şaşkın, şaşırmış, sürpriz",
        "surpresa, surpreso, surpreendido, surpreendida",
        "verrassing, verrast, verbaasd, verbazing",
    ),
}
_NUMBER = re.compile(r"^\d+[\s._:\-]+")
# Letters that no decomposition takes apart.
_PLAIN = str.maketrans({"ł": "l", "ı": "i"})


def tidy(label: str) -> str:
    """Return ``label`` in Unicode's NFC, without control characters and needless spaces."""
    shown = "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in label)
    return " ".join(unicodedata.normalize("NFC", shown).split())


def label_key(label: str) -> str:
    """Return what labels are compared by: two with the same key are one."""
    return unicodedata.normalize("NFC", tidy(label).casefold())


def _plain(word: str) -> str:
    """Return the key under which words of the vocabulary are found: no accents, no underscores or hyphens."""
    letters = unicodedata.normalize("NFD", label_key(word.replace("_", " ").replace("-", " ")))
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).translate(_PLAIN)


_KNOWN = {
    _plain(word): emotion
    for emotion, languages in _WORDS.items()
    for word in (emotion, *(each for words in languages for each in words.split(", ")))
}


def to_emotion(word: str) -> str | None:
    """Return the house's word for a corpus's own ``word`` of any of the ten languages, or None where there is none.

    A number before it does not count, as in ``01_angry``.
    """
    return _KNOWN.get(_plain(word)) or _KNOWN.get(_plain(_NUMBER.sub("", word.strip())))


def house_spelling(word: str) -> str:
    """Return ``word`` as the house spells it if it is one of ``EMOTIONS``, in any case; else tidied, and no more."""
    return key if (key := label_key(word)) in EMOTIONS else tidy(word)


def one_spelling(words: Iterable[str]) -> dict[str, str]:
    """Return the spelling to use for each key of ``words``: the commonest, the alphabetically first of equals."""
    counted = Counter(words)
    spelled: dict[str, str] = {}
    for word in sorted(counted, key=lambda word: (-counted[word], word)):
        spelled.setdefault(label_key(word), word)
    return spelled


def in_order(words: Iterable[str]) -> tuple[str, ...]:
    """Return labels in their order everywhere: the house's words in its own, then the others by the alphabet."""
    places = {emotion: place for place, emotion in enumerate(EMOTIONS)}
    return tuple(sorted(set(words), key=lambda word: (places.get(word, len(places)), _plain(word), word)))


def chosen_among(wanted: Sequence[str], labels: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return the places in ``labels`` of what is ``wanted``, in their order, and what is none of them.

    A label is found in any case, and the house's words in any of the ten languages.
    """
    places = {label_key(label): place for place, label in enumerate(labels)}
    found, unknown = set(), []
    for word in wanted:
        place = places.get(label_key(word), places.get(to_emotion(word) or ""))
        if place is None:
            unknown.append(word)
        else:
            found.add(place)
    return sorted(found), unknown


def spaced(words: Iterable[str]) -> str:
    """Return ``words`` with spaces between them, as CSV that has spaces for commas: one with a space is quoted."""
    quoted = (word.replace('"', '""') for word in words)
    return " ".join(f'"{word}"' if " " in word or '"' in word else word for word in quoted)


def speaker_key(speaker: str) -> str:
    """Return what is equal for spellings of one speaker: *Ann* and *ann*, *Speaker 1* and *speaker_1*."""
    words = re.sub(r"[\s_\-]+", " ", label_key(speaker))
    return re.sub(r"(?<=[^\W\d]) (?=\d)", "", words)  # "Speaker 1" is "SPEAKER1", but "1-2" is not "12"


def natural_key(word: str) -> tuple[tuple[bool, int, str, str], ...]:
    """Return a sorting key under which "2" comes before "10" and "s2" before "s10"."""
    parts = re.findall(r"[0-9]+|[^0-9]+", word)
    # Numbers by their length first: Python refuses to read one of thousands of digits.
    numbers = (part.lstrip("0") if part.isdecimal() else "" for part in parts)
    return tuple((not part.isdecimal(), len(number), number, part) for part, number in zip(parts, numbers, strict=True))
