"""A model as a folder that a hub of models takes, such as Hugging Face's: a whole bundle, and what the hub shows of it.

The folder is a bundle as any other: ``thymos.load`` takes it. Beside it lie a card with the metadata that hubs look for
(``README.md``), the labels as transformers' users expect them (``config.json``), and the licence.
"""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thymos.corpora.finding import known_corpora
from thymos.escaping import markdown
from thymos.files import whole_file, write_json
from thymos.runtime.bundle import ABOUT, About, read_about, shipped_encoder
from thymos.runtime.hearing import ENCODER_WEIGHTS, HEAD
from thymos.runtime.model_files import read_json
from thymos.runtime.rewriting import ENCODER_FILES, rewrite_bundle

CARD, CONFIG, LICENCE = "README.md", "config.json", "LICENSE"
_Told = tuple[str, int, str, tuple[str, ...]]
"""Name, recordings, licence and languages of a corpus."""


def write_hub_folder(source: Path, folder: Path, changes: dict[str, Any]) -> None:
    """Write the bundle in ``source`` to ``folder`` for a hub; the encoder comes along wherever it lies.

    Args:
        source: checked first.
        folder: new, empty, or an earlier one.
        changes: of fields of ``model.json``.

    Raises:
        BundleError: ``source`` holds no bundle that can be used.
        RunError: ``folder`` holds something else.
    """
    if (folder / CONFIG).is_file():  # an earlier one: what is no part of a bundle is written anew
        for name in (CARD, CONFIG, LICENCE):
            (folder / name).unlink(missing_ok=True)
    rewrite_bundle(source, folder, changes, (), lambda about: [])
    about = read_about(folder)
    if HEAD in about.sha256 and not (folder / ENCODER_WEIGHTS).exists():
        for name in sorted(ENCODER_FILES & about.sha256.keys()):
            with whole_file(folder / name) as temporary:
                shutil.copyfile(shipped_encoder() / name, temporary)
    begun = read_json(folder / ABOUT).get("start_from", {}).get("layers_of")
    labels = {str(place): label for place, label in enumerate(about.labels)}
    config = {
        "library_name": "thymos",
        "model_type": "thymos",
        "id2label": labels,
        "label2id": {label: int(place) for place, label in labels.items()},
        "sampling_rate": about.rate_hz,
    }
    write_json(folder / CONFIG, config)
    for name, text in ((LICENCE, licence_text(about, begun)), (CARD, card(about))):
        with whole_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def licence_text(about: About, begun: dict[str, str] | None) -> str:
    """Return what may be done with the model, and by whose licences, as the file that the card points at.

    ``begun`` is the published network that its layers were first of, if any: its name and licence.
    """
    parts = [f"{about.name} {about.version}: {about.licence}", "It was trained on:"]
    parts += [f"- {name} ({clips} recordings): {licence}" for name, clips, licence, _ in _corpora(about)]
    if begun:
        parts.append(f"Its first layers are those of {begun['name']}, whose licence is {begun['licence']}.")
    return "\n".join(parts) + "\n"


def card(about: About) -> str:
    """Return the model card: metadata as YAML, then what a stranger should know, in Markdown."""
    corpora = _corpora(about)
    rows = "\n".join(f"| {markdown(name)} | {clips} | {markdown(licence)} |" for name, clips, licence, _ in corpora)
    scores = "\n".join(
        f"| {markdown(each['corpus'])} | {markdown(each['protocol'])} | {each['recordings']} | "
        f"{_percent(each['accuracy'])} | {_percent(each['uar'])} |"
        for each in about.scores
    )
    told = ", ".join(map(markdown, about.labels or about.dimensions)) + (" apart" if about.labels else "")
    sets = ""
    if about.conformal is not None:
        sets = (
            f"\nIts prediction sets hold the true emotion in {about.conformal.coverage:.0%} of recordings like the "
            f"{about.conformal.rows} that they were set on.\n"
        )
    return f"""---
{_front_matter(about, corpora)}
---

# {markdown(about.name)} {markdown(about.version)}

Speech emotion recognition: hears how something is said, and tells {told}.
Waveform in ({about.rate_hz} Hz, mono; the front end is part of the ONNX graph), calibrated probabilities, a timeline
and a prediction set out. {about.parameters:,} parameters; no GPU, no network.

```python
import thymos  # pip install thymos

recognizer = thymos.load("FOLDER")  # where this repository was downloaded to
print(recognizer.predict("clip.wav", timeline=True))
```

## What it is not for

Decisions about people. It estimates which emotion a voice expresses, does not know what anybody feels, and is often
wrong: most of what it was trained on is acted or read. Where the EU AI Act applies, inferring emotions at work or in
education is prohibited (Article 5), and people are told that such a system is at work (Article 50).

## What it was trained on

| corpus | recordings | licence |
|---|---|---|
{rows}

**Licence of the model:** {markdown(about.licence)}.

## How good it is

{"| corpus | protocol | recordings | accuracy, % | UAR, % |" if scores else "No scores are kept with this model."}
{"|---|---|---|---|---|" if scores else ""}
{scores}
{sets}"""


def _front_matter(about: About, corpora: Sequence[_Told]) -> str:
    """Return the metadata that hubs look for, a line each. JSON is YAML, too: nothing in a name is taken for a mark."""
    languages = sorted({language for *_, spoken in corpora for language in spoken})
    metadata: dict[str, Any] = {
        "license": "other",
        "license_name": _word(about.licence.partition(":")[0])[:60].strip("-") or "other",
        "license_link": LICENCE,
        "library_name": "thymos",
        "pipeline_tag": "audio-classification",
        "tags": ["speech-emotion-recognition", "emotion", "audio", "onnx"],
        **({"language": languages} if languages else {}),
        **({"model-index": [_index(about)]} if about.scores else {}),
    }
    return "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in metadata.items())


def _corpora(about: About) -> list[_Told]:
    """Return what is told of the corpora, each once: it may teach encoder and head."""
    clips: dict[str, int] = {}
    for row in about.trained_on:
        name = str(row.get("name", "?"))
        clips[name] = max(int(row.get("clips", 0)), clips.get(name, 0))
    known = {_word(corpus.kind): corpus for corpus in known_corpora()}
    found = {name: known.get(_word(name)) or known.get(f"{_word(name)}-db") for name in clips}
    return [
        (name, count, own.licence if (own := found[name]) else "see its source", own.languages if own else ())
        for name, count in clips.items()
    ]


def _index(about: About) -> dict[str, Any]:
    """Return what was measured as model-index has it. Source: https://huggingface.co/docs/hub/model-cards."""
    results = [
        {
            "task": {"type": "audio-classification", "name": "speech emotion recognition"},
            "dataset": {"name": f"{each['corpus']}, {each['protocol']}", "type": _word(str(each["corpus"]))},
            "metrics": [{"type": name, "value": _mean(each[name])} for name in ("accuracy", "uar") if name in each],
        }
        for each in about.scores
    ]
    return {"name": f"{about.name} {about.version}", "results": results}


def _mean(score: Any) -> float:
    """Return a score, which may be told with its spread."""
    return round(float(score["mean"] if isinstance(score, dict) else score), 4)


def _percent(score: Any) -> str:
    return f"{100 * _mean(score):.1f}"


def _word(text: str) -> str:
    """Return ``text`` as hubs name things: small letters and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
