"""What the general recogniser is worth on corpora that it never met: docs/results/left-out.md and .json.

python benchmarks/left_out.py CORPORA/clips.csv aesdd:CORPORA/aesdd --encoders shipped FOLDER…

Each corpus is heard by the first of the encoders that has not heard it, and by a head fitted to all other corpora.
Encoders are made by `thymos pretrain CORPORA/clips.csv --leave-out CORPUS --out FOLDER …`. The description of some
14,000 recordings takes minutes an encoder on one core, once. Beside the tables stands calibration.json, which `thymos
export --calibration` writes into a bundle.
"""

import argparse
from pathlib import Path
from typing import Any

from thymos.cache import default_cache_dir
from thymos.corpora import open_corpus
from thymos.corpora.opening import joined
from thymos.encoder.experiment import EncoderExperiment
from thymos.encoder.recipe import SHIPPED
from thymos.evaluation.left_out import FOUR, LeftOut, calibrations, flagged, leave_corpora_out, neutral_recall, table
from thymos.experiment import Work, corpus_for
from thymos.files import write_json, write_text
from thymos.machine import available_cores
from thymos.recipes import load_experiment

WORDS = {
    "plain": "plain",
    "batch": "the whole corpus enrolled as one voice (transductive)",
    "each voice": "all recordings of each voice enrolled (transductive)",
    "random": "{clips} of the voice enrolled, drawn at random",
    "mean of random": "· their mean subtracted, for comparison",
    "one emotion": "{clips} of the voice enrolled, all of one emotion",
    "mean of one emotion": "· their mean subtracted, for comparison",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+")
    parser.add_argument("--encoders", nargs="+", default=[SHIPPED], help="shipped; folders of `thymos pretrain`")
    parser.add_argument("--recipe", default="thymos")
    parser.add_argument("--set", dest="changes", action="append", default=[])
    parser.add_argument("--cache-dir", type=Path, default=default_cache_dir())
    parser.add_argument("--out", type=Path, default=Path("docs/results/left-out.json"))
    given = parser.parse_args()
    experiments = [load_experiment(given.recipe, [*given.changes, f"start_from={start}"]) for start in given.encoders]
    assert all(isinstance(experiment, EncoderExperiment) for experiment in experiments)
    corpus = joined([open_corpus(spec, cache_dir=given.cache_dir) for spec in given.corpora])
    corpus = corpus_for(experiments[0], corpus)
    left_out = leave_corpora_out(corpus, experiments, Work(given.cache_dir, available_cores()))
    told: dict[str, Any] = {
        "recipe": experiments[0].settings(),
        "encoders": {result.corpus: result.encoder for result in left_out},
        "four": table(left_out, FOUR),
        "all": table(left_out, left_out[0].labels),
        "neutral": neutral_recall(left_out),
        "calibration": calibrations(left_out),
        "flags": flagged(left_out),
    }
    write_json(given.out, told)
    write_json(
        given.out.with_name("calibration.json"), {way: own["calibration"] for way, own in told["calibration"].items()}
    )
    text = page(left_out, told)
    write_text(given.out.with_suffix(".md"), text)
    print(text)


def page(left_out: list[LeftOut], told: dict[str, Any]) -> str:
    names = [result.corpus for result in left_out]
    lines = [
        f"UAR among {', '.join(FOUR)}, or what a corpus has of them:",
        "",
        *ways_table(told["four"], names),
        "",
        f"UAR among all that a corpus has of {', '.join(left_out[0].labels)}:",
        "",
        *ways_table(told["all"], names),
        "",
        "Neutral and calm recordings that are called neutral, among all seven:",
        "",
        "| corpus | plain | batch | each voice |",
        "|---|---|---|---|",
        *(
            f"| {name} | " + " | ".join(f"{100 * own[way]:.1f}" for way in ("plain", "batch", "each voice")) + " |"
            for name, own in told["neutral"].items()
        ),
    ]
    for way, own in told["calibration"].items():
        shares = [f"{float(share):.0%}" for share in next(iter(own["corpora"].values()))["at_coverage"]]
        lines += [
            "",
            f"Calibration, {way}: by all other corpora, of the choice among all seven:",
            "",
            f"| corpus | ECE | 90 % sets hold | labels in a set | {' | '.join(f'accuracy of {s}' for s in shares)} |",
            "|---|" + "---|" * (3 + len(shares)),
        ]
        for name, row in (own["corpora"] | {"together": own["together"]}).items():
            at = " | ".join(f"{100 * value:.1f}" for value in row["at_coverage"].values())
            held, size = f"{100 * row['coverage']:.1f}", f"{row['set_size']:.1f}"
            lines.append(f"| {name} | {row['ece']:.3f} | {held} | {size} | {at} |")
    lines += ["", "Flags, plain: share of recordings, accuracy of these and of the others:", ""]
    lines += ["| corpus | unsure | right | others | unfamiliar | right | others |", "|---|" + "---|" * 6]
    for name, flags in told["flags"].items():
        cells = [flags[flag][key] for flag in ("unsure", "unfamiliar") for key in ("share", "flagged", "others")]
        lines.append(f"| {name} | " + " | ".join("" if v is None else f"{100 * v:.1f}" for v in cells) + " |")
    return "\n".join(lines) + "\n"


def ways_table(rows: list[dict[str, Any]], names: list[str]) -> list[str]:
    lines = [f"| | {' | '.join(names)} | mean |", "|---|" + "---|" * (len(names) + 1)]
    for row in rows:
        each = [row["of"].get(name) for name in names]
        cells = ["" if value is None else f"{100 * value:.1f}" for value in (*each, row["uar"])]
        lines.append(f"| {WORDS[row['way']].format(clips=row['clips'])} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
