"""A folder of recordings, such as a day of calls, to a table and a figure: one bar for each file.

    python examples/folder_to_csv_plot.py data/mini-aesdd/anger emotions.csv emotions.png

Needs pandas and matplotlib (pip install 'thymos[train]').
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

import thymos
from thymos.audio import AUDIO_SUFFIXES


def hear(folder: Path) -> pd.DataFrame:
    """Return a row for each recording, in files' order; of what cannot be heard, only its name and the reason."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    rows = []
    for path, heard in zip(files, thymos.load().predict_many(files), strict=True):
        row = {"file": str(path.relative_to(folder)), "error": ""}
        if isinstance(heard, thymos.Prediction):
            row |= heard.to_frame().iloc[0].to_dict()
        else:
            row["error"] = str(heard.error)
        rows.append(row)
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the probabilities of each file's emotions as parts of one bar; files without speech have none."""
    shares = table.set_index("file").filter(like="p_").rename(columns=lambda name: name.removeprefix("p_"))
    figure, axes = plt.subplots(figsize=(8, 1.5 + 0.3 * len(table)), layout="constrained")
    left = pd.Series(0.0, shares.index)
    for emotion in shares:
        width = shares[emotion].fillna(0)
        axes.barh(shares.index, width, left=left, label=emotion)
        left += width
    axes.invert_yaxis()
    axes.set(xlabel="probability", xlim=(0, 1))
    figure.legend(loc="outside upper center", ncols=len(shares.columns))
    figure.savefig(path, dpi=120)


def main(folder: str, csv: str, figure: str) -> None:
    """Write the table and the figure, and print how often each emotion is heard."""
    table = hear(Path(folder))
    if "emotion" not in table:
        sys.exit(f"{folder}: holds no recording that can be heard")
    table.to_csv(csv, index=False)
    draw(table, Path(figure))
    heard = table[table["error"] == ""]
    print(heard["emotion"].fillna("none heard").value_counts().to_string(header=False))
    print(f"not readable: {len(table) - len(heard)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
