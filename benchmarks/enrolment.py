"""What it gives to know a voice: docs/results/enrolment.md and .json. Minutes, once recordings are described.

python benchmarks/enrolment.py aesdd:PATH [--set KEY=VALUE …]
"""

import argparse
from pathlib import Path

from thymos.corpora import open_corpus
from thymos.encoder.experiment import EncoderExperiment
from thymos.evaluation.enrolment import enrolment
from thymos.files import write_json, write_text
from thymos.recipes import load_experiment

WORDS = {
    "plain": "plain",
    "random": "{clips} clips of the voice, at random",
    "mean of random": "· their mean subtracted, for comparison",
    "one emotion": "{clips} clips of the voice, all of one emotion",
    "mean of one emotion": "· their mean subtracted, for comparison",
    "each voice": "all clips of each voice (transductive)",
    "batch": "all clips together (transductive)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("--recipe", default="thymos-aesdd")
    parser.add_argument("--set", dest="changes", action="append", default=[])
    parser.add_argument("--cache-dir", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/results/enrolment.json"))
    given = parser.parse_args()
    experiment = load_experiment(given.recipe, given.changes)
    assert isinstance(experiment, EncoderExperiment)
    corpus = open_corpus(given.corpus, cache_dir=given.cache_dir)
    rows = enrolment(corpus, experiment, cache_dir=given.cache_dir)
    about = {"recipe": experiment.settings(), "versions": experiment.versions(), "rows": rows}
    write_json(given.out, about)
    lines = ["| Voice | UAR, mean over speakers | sd of draws | accuracy |", "|---|---|---|---|"]
    for row in rows:
        words = WORDS[row["way"]].format(clips=row["clips"])
        spread = f"{100 * row['sd_of_draws']:.1f} ({row['draws']} draws)" if row["draws"] > 1 else ""
        lines.append(f"| {words} | {100 * row['uar']:.1f} | {spread} | {100 * row['accuracy']:.1f} |")
    write_text(given.out.with_suffix(".md"), "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
