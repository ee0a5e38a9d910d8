"""What 8-bit products cost the recogniser: heads fitted to exact descriptions, asked about those of the 8-bit graph.

    python benchmarks/int8.py aesdd:PATH --set start_from=FOLDER [--out docs/results]

Recordings of each test part are described by the encoder that ``thymos train`` would export, once as it is and once
with products in integers of 8 bits, and judged by the same head. The encoder to start from is one in 16 bits: the
shipped one is in 8 bits already. Writes int8.json and int8.md.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

from thymos.audio import resample
from thymos.corpora import open_corpus, protocol_named
from thymos.encoder.describe import start_of
from thymos.encoder.experiment import EncoderExperiment, FittedHead
from thymos.encoder.export import export_encoder
from thymos.encoder.log_mel import RATE_HZ
from thymos.engine.process import one_thread
from thymos.experiment import TrainingPart, Work
from thymos.files import write_json, write_text
from thymos.recipes import load_experiment
from thymos.runtime.hearing import ENCODER_GRAPH, INPUT
from thymos.scoring.metrics import confusion, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("--recipe", default="thymos-aesdd")
    parser.add_argument("--set", dest="changes", action="append", default=[])
    parser.add_argument("--cache-dir", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    experiment = load_experiment(given.recipe, given.changes)
    assert isinstance(experiment, EncoderExperiment)
    corpus = open_corpus(given.corpus, cache_dir=given.cache_dir)
    work = Work(**({"cache_dir": given.cache_dir} if given.cache_dir else {}), threads=1)
    features = experiment.features(corpus, work)
    waveforms = [resample(corpus.waveform(clip), RATE_HZ).samples for clip in corpus.clips]
    described = {}
    for way in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            export_encoder(start_of(experiment.recipe), Path(folder), way)
            session = onnxruntime.InferenceSession(Path(folder) / ENCODER_GRAPH, providers=["CPUExecutionProvider"])
            described[way] = np.stack([session.run(["description"], {INPUT: x[None]})[0][0] for x in waveforms])
    rows = []
    for name in ("recording", "sentence", "speaker"):
        counts = {way: np.zeros((len(corpus.emotions), len(corpus.emotions)), np.int64) for way in described}
        for fold in protocol_named(name).split(corpus, 0).folds:
            train, test = corpus.rows(fold.train), corpus.rows(fold.test)
            part = TrainingPart(corpus.emotions, tuple(train.tolist()), corpus.targets[train])
            with one_thread():
                head = experiment.fit(features, part, work)
            assert isinstance(head, FittedHead)
            for way, values in described.items():
                said = head.discriminant.logits(values[test]).argmax(1)
                counts[way] += confusion(corpus.targets[test], said, len(corpus.emotions))
        rows.append({"protocol": name} | {("int8" if way else "exact"): scores(own) for way, own in counts.items()})
    write_json(given.out / "int8.json", {"recipe": experiment.settings(), "rows": rows})
    lines = ["| protocol | accuracy, exact | 8 bits | UAR, exact | 8 bits |", "|---|---|---|---|---|"]
    for row in rows:
        each = [f"{100 * row[way][metric]:.1f}" for metric in ("accuracy", "uar") for way in ("exact", "int8")]
        lines.append(f"| {row['protocol']} | {' | '.join(each)} |")
    write_text(given.out / "int8.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
