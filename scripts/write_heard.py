"""Writes the fingerprints of what an encoder has heard beside it, for one that was made by a version without them.

    python scripts/write_heard.py src/thymos/weights/encoder CORPORA/clips.csv --models src/thymos/weights/thymos*

All clips of the corpora that the encoder names are taken; how many of them it has the digest of is told, since a
decoder may have come to give other last samples than it gave then. Weights stay as they are; encoder.json tells the
new file's SHA-256, and model.json of each of the models, which hear by the encoder, that of both. `thymos pretrain`
does all this itself.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from thymos.corpora import open_corpus
from thymos.corpora.near_copies import SPARSE, from_text
from thymos.encoder.sounds import digest_of
from thymos.encoder.weights import ABOUT, HEARD, read_encoder, write_heard
from thymos.files import write_json
from thymos.runtime.bundle import ABOUT as MODEL_ABOUT
from thymos.runtime.model_files import sha256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("corpora", nargs="+")
    parser.add_argument("--models", nargs="*", type=Path, default=[])
    parser.add_argument("--cache-dir", type=Path)
    given = parser.parse_args()
    encoder = read_encoder(given.encoder)
    by_digest = {
        digest_of(clip): from_text(clip.sound.fingerprint)[::SPARSE]
        for spec in given.corpora
        for clip in open_corpus(spec, cache_dir=given.cache_dir).clips
        if clip.corpus in encoder.about["corpora"]
    }
    write_heard(given.encoder, [by_digest[digest] for digest in sorted(by_digest)])
    add_digests(given.encoder / ABOUT, given.encoder, [HEARD])
    for model in given.models:
        add_digests(model / MODEL_ABOUT, given.encoder, [ABOUT, HEARD])
    size = (given.encoder / HEARD).stat().st_size
    known = len(np.intersect1d(encoder.clips_seen, sorted(by_digest)))
    print(
        f"{len(by_digest)} clips, {size / 1e6:.2f} MB; {known} of them by digest, of {len(encoder.clips_seen)} digests"
    )


def add_digests(about: Path, folder: Path, names: list[str]) -> None:
    """Tell the SHA-256 of those files of ``folder`` in a description."""
    told = json.loads(about.read_text(encoding="utf-8"))
    told["sha256"] = dict(
        sorted((told["sha256"] | {name: sha256((folder / name).read_bytes()) for name in names}).items())
    )
    write_json(about, told)


if __name__ == "__main__":
    main()
