"""What the terminal shows while ``thymos listen`` runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from rich.bar import Bar
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from thymos.audio import Samples
from thymos.live.smoothing import LiveAnswer
from thymos.runtime.prediction import NONE_HEARD

WIDTH = 40
FLOOR_DB = -60.0
"""The level bar is empty here, and full at full scale."""


@dataclass
class Meter:
    """The last answer as bars, redrawn in place.

    Attributes:
        labels: the model's emotions.
        window_s: how much sound the first answer takes.
    """

    labels: tuple[str, ...]
    window_s: float
    heard: LiveAnswer | None = None
    level_db: float = FLOOR_DB
    _redraw: Callable[[], None] = field(default=lambda: None, repr=False)

    def hear(self, samples: Samples) -> None:
        """Show how loud ``samples`` are: float32 at ±1, shape ``(n,)``."""
        if len(samples):
            peak = float(np.abs(samples).max())
            self.level_db = max(FLOOR_DB, 20 * float(np.log10(max(peak, 1e-9))))

    def show(self, heard: LiveAnswer) -> None:
        """Show an answer."""
        self.heard = heard
        self._redraw()

    def __rich__(self) -> Group:
        level = Table.grid(padding=(0, 1))
        level.add_row(
            Text("level".ljust(self._words)),
            Bar(1, 0, 1 - self.level_db / FLOOR_DB, width=WIDTH),
            f"{self.level_db:4.0f} dB",
        )
        if self.heard is None:
            return Group(Text(f"Listening; the first answer comes after {self.window_s:g} s of sound"), level)
        window, smoothed = self.heard.window, self.heard.smoothed
        emotion = self.heard.smoothed_emotion
        said = NONE_HEARD if smoothed is None or emotion is None else f"{emotion} {smoothed[emotion]:.2f}"
        remark = "  unlike what the model was trained on" if window.out_of_distribution else ""
        grid = Table.grid(padding=(0, 1))
        grid.add_row("", "smoothed", "", "now", style="dim")
        for word in self.labels:
            own, now = (smoothed or {}).get(word, 0.0), (window.probabilities or {}).get(word, 0.0)
            bold = "bold" if word == emotion else ""
            grid.add_row(Text(word.ljust(self._words), bold), Bar(1, 0, own, width=WIDTH), f"{own:.2f}", f"{now:.2f}")
        return Group(Text(f"{window.end_s:7.1f} s  {said}{remark}", "bold"), grid, level)

    @property
    def _words(self) -> int:
        return max(map(len, ("level", *self.labels)))


@contextmanager
def live_meter(labels: tuple[str, ...], window_s: float) -> Iterator[Meter]:
    """Yield a meter on standard output, which stays there as it was last."""
    meter = Meter(labels, window_s)
    with Live(meter, console=Console(), refresh_per_second=8) as live:
        meter._redraw = live.refresh
        yield meter
