"""What others wrote is shown as itself, and steers nothing; escapes are those of Python, OWASP and Markdown."""

import json

import pytest

from thymos.escaping import csv_cell, from_csv_cell, json_line, markdown, printable, printable_lines

STEERING = {
    "\x1b[31mred": r"\x1b[31mred",
    "a\nthymos: all is well": r"a\nthymos: all is well",
    "\u202egpj.wav": r"\u202egpj.wav",  # turns the direction of writing
    "\x9b2J": r"\x9b2J",  # a terminal code of one byte
    "b_\udce8.wav": r"b_\udce8.wav",  # a byte that is no UTF-8
    "a\u200bb": r"a\u200bb",  # invisible
    "\r\t": r"\r\t",
    "θυμός 😀 👩\u200d🔬": "θυμός 😀 👩\u200d🔬",
    "[red]:cat: \\": "[red]:cat: \\",
}


@pytest.mark.parametrize(("text", "shown"), STEERING.items())
def test_what_steers_a_terminal_is_escaped_and_all_else_is_itself(text, shown):
    assert printable(text) == shown
    assert printable_lines(text).replace("\n", "\\n").replace("\t", "\\t") == shown


@pytest.mark.parametrize("text", STEERING)
def test_json_on_one_line_is_printable_and_says_the_same(text):
    line = json_line({"file": text, text: [1.5, None]})
    assert json.loads(line) == {"file": text, text: [1.5, None]}
    assert line.replace("\u200d", "").isprintable()
    with pytest.raises(ValueError, match="JSON"):
        json_line({text: float("nan")})


FORMULAS = ["=1+1", "+1", "-1.wav", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''-"]


@pytest.mark.parametrize("text", [*FORMULAS, "it's", "'a'", "a=1", ""])
def test_a_cell_is_never_a_formula_and_comes_back(text):
    cell = csv_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert from_csv_cell(cell) == text
    assert (cell == text) == (text not in FORMULAS)


def test_markdown_has_no_markup_of_others():
    hostile = "<script>|x|</script> ![a](b) `c`\n# f &lt; g \x1b[2J"
    assert markdown(hostile) == r"&lt;script>\|x\|&lt;/script> ![a\](b) \`c\` # f &amp;lt; g \x1b[2J"
    plain = "61.0 ± 2.0 [58.1, 64.0]; p < 0.001, 50 % & more"
    assert markdown(plain) == plain
