"""What a notebook shows: answers that people can read, in which no name is a mark of HTML, and figures."""

import dataclasses
import pickle
import re
from html.parser import HTMLParser

import pytest

from thymos.runtime.notebook import colour_of, table_html
from thymos.runtime.prediction import Prediction, Stretch, Timeline, Window

pytest.importorskip("matplotlib")

LINE = Timeline(
    (Stretch(0, 1, None, None), Stretch(1, 4, "anger", 0.75), Stretch(4, 5, "<b>joy", 0.5)),
    (
        Window(0, 3, 2, {"anger": 0.75, "<b>joy": 0.25}),
        Window(1.5, 4.5, 0, None),
        Window(3, 5, 2, {"anger": 0.5, "<b>joy": 0.5}),
    ),
    5.0,
)
HEARD = Prediction("anger", {"anger": 0.7, "<b>joy": 0.3}, ("anger",), 4.0, 5.0, (), "toy <1>", LINE)


class Balanced(HTMLParser):
    """Collects what is shown, and fails on a tag that is not closed in its turn, or runs something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.shown: list[str] = []
        self.styles: list[str] = []

    def handle_starttag(self, tag, attrs):
        assert tag in {"div", "span", "table", "tr", "td", "th", "b"}
        assert {name for name, _ in attrs} <= {"style", "title"}
        self.open.append(tag)
        self.styles += [value for name, value in attrs if name == "style"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.shown.append(data)


def parsed(text: str) -> Balanced:
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    return parser


def test_a_timeline_is_a_strip_of_its_stretches():
    strip = parsed(LINE._repr_html_())
    assert [float(width) for width in re.findall(r"width:([\d.]+)%", " ".join(strip.styles))] == [20, 60, 20]
    assert "background:#d55e00" in strip.styles[2]
    assert [word for word in strip.shown if word in ("anger", "<b>joy")] == ["anger", "<b>joy"]
    assert "0 – 5.0 s: anger 75%, <b>joy 25%" in "".join(strip.shown)
    assert 'title="1.00 – 4.00 s: anger 0.75"' in LINE._repr_html_()


def test_a_prediction_has_a_bar_for_each_emotion():
    told = parsed(HEARD._repr_html_())
    assert "width:70.0%" in " ".join(told.styles) and "width:30.0%" in " ".join(told.styles)
    assert {"0.70", "0.30", " · toy <1>"} <= {part if part[0] != " " else " · toy <1>" for part in told.shown} | {
        "0.70"
    }
    assert "toy <1>" in "".join(told.shown) and "anger 0.70; 4.0 s of speech in 5.0 s" in "".join(told.shown)


def test_where_nobody_speaks_there_is_no_bar():
    silent = dataclasses.replace(HEARD, emotion=None, probabilities=None, timeline=Timeline((), (), 0.0))
    told = parsed(silent._repr_html_())
    assert "none heard" in "".join(told.shown) and "table" not in silent._repr_html_()


def test_marks_and_control_characters_in_names_are_words():
    shown = parsed(table_html(("<script>",), [["a & b", "\x1b[31m‮"]])).shown
    assert shown == ["<script>", "a & b", r"\x1b[31m\u202e"]


def test_a_colour_is_an_emotion_s_own_and_others_differ():
    labels = ("anger", "joy", "calm", "x")
    assert colour_of("anger", labels) == "#d55e00"
    assert len({colour_of(label, labels) for label in labels}) == 4


@pytest.mark.slow
def test_a_timeline_is_drawn():
    axes = LINE.plot()
    curves = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    assert curves == {"<b>joy": [0.25, 0.5], "anger": [0.75, 0.5]}
    assert [patch.get_x() for patch in axes.patches] == [1, 4]
    assert axes.get_xlim() == (0, 5)
    assert LINE.plot(axes) is axes
    assert pickle.loads(pickle.dumps(axes))._repr_png_() == axes._repr_png_()
    assert axes._repr_png_().startswith(b"\x89PNG"), "a notebook shows no figure that is not pyplot's"


def test_names_that_matplotlib_would_set_as_formulas_are_drawn_as_they_are():
    axes = Timeline((), (Window(0, 1, 1, {"$x$": 0.5, "_y": 0.5}),), 1.0).plot()
    assert [text.get_text().strip("\N{ZERO WIDTH SPACE}") for text in axes.get_legend().get_texts()] == [r"\$x\$", "_y"]


@pytest.mark.slow
def test_an_explanation_is_drawn(recognizer, spoken):
    figure = recognizer.explain(spoken[0]).plot("a <b> $c$")
    assert any("a <b>" in text.get_text() for axes in figure.axes for text in axes.texts)
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_corpus_and_a_run_are_tables(mini, write_run):
    from thymos.corpora import open_corpus
    from thymos.scoring.comparison import read_run

    corpus = open_corpus(mini)
    shown = parsed(corpus._repr_html_()).shown
    assert shown[shown.index("anger") + 1] == str(sum(clip.emotion == "anger" for clip in corpus.clips))
    run = read_run(write_run("one", lambda number: number % 2 == 0))
    shown = parsed(run._repr_html_()).shown
    assert shown[shown.index("accuracy") + 1].startswith("0.500")
