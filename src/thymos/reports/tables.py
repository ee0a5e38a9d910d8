"""A table for a paper: as Markdown, as LaTeX in the manner of booktabs, and as CSV with all digits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thymos.escaping import markdown
from thymos.files import write_csv, write_text

_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "±": r"$\pm$", "−": "$-$",
    "×": r"$\times$", "⌈": r"$\lceil$", "⌉": r"$\rceil$",
}  # fmt: skip


@dataclass(frozen=True)
class PaperTable:
    """What a table says, to be written in several formats."""

    name: str
    """Of its files."""
    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """As a reader sees them: rounded, in percent, with intervals."""
    records: tuple[dict[str, Any], ...]
    """The same with all digits, in shares of one: columns of the CSV by name; the same in each."""
    bold: frozenset[tuple[int, int]] = field(default=frozenset())
    """Row and column of fields that stand out."""


def table_markdown(table: PaperTable) -> str:
    """Return ``table`` as Markdown, its caption above it."""
    lines = [f"| {' | '.join(map(in_field, table.headings))} |", "|---|" + "---:|" * (len(table.headings) - 1)]
    for number, row in enumerate(table.rows):
        fields = [in_field(text) for text in row]
        fields = [f"**{text}**" if (number, at) in table.bold else text for at, text in enumerate(fields)]
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join([in_field(table.caption), "", *lines]) + "\n"


def table_latex(table: PaperTable) -> str:
    """Return ``table`` as a LaTeX table in the manner of booktabs, ready for ``\\input``."""
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{tex(table.caption)}}}",
        f"\\label{{tab:{table.name}}}",
        "\\begin{tabular}{l" + "r" * (len(table.headings) - 1) + "}",
        "\\toprule",
        " & ".join(map(tex, table.headings)) + " \\\\",
        "\\midrule",
    ]
    for number, row in enumerate(table.rows):
        fields = [tex(text) for text in row]
        if fields[0].startswith(("[", "*")):  # which would be an argument of the line break before it
            fields[0] = "{}" + fields[0]
        fields = [f"\\textbf{{{text}}}" if (number, at) in table.bold else text for at, text in enumerate(fields)]
        lines.append(" & ".join(fields) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}"]) + "\n"


def write_tables(tables: Sequence[PaperTable], folder: Path) -> None:
    """Write each of ``tables`` to ``folder`` as ``NAME.csv``, ``NAME.md`` and ``NAME.tex``; those of an earlier call
    that are not among them are taken away."""
    names = {table.name for table in tables}
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.suffix in (".csv", ".md", ".tex") and path.stem not in names:
            path.unlink()
    for table in tables:
        write_csv(folder / f"{table.name}.csv", table.records)
        write_text(folder / f"{table.name}.md", table_markdown(table))
        write_text(folder / f"{table.name}.tex", table_latex(table))


def in_field(text: str) -> str:
    """Return ``text`` on one line, with nothing in it that would end a Markdown table's field, or be markup."""
    return markdown(text)


def tex(text: str) -> str:
    """Return ``text`` with nothing in it that LaTeX would take for a command."""
    return "".join(_TEX.get(letter, letter) for letter in " ".join(text.split()))
