"""What the terminal shows while ``thymos listen`` runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.bar import Bar
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from thymos.live.smoothing import LiveAnswer
from thymos.live.utterances import SoundState
from thymos.runtime.prediction import NONE_HEARD

WIDTH = 40


@dataclass
class Meter:
    """The last answer as bars, redrawn in place.

    Attributes:
        labels: the model's emotions.
        first_s: how much sound the first answer takes.
    """

    labels: tuple[str, ...]
    first_s: float
    heard: LiveAnswer | None = None
    state: SoundState | None = None
    _redraw: Callable[[], None] = field(default=lambda: None, repr=False)

    def show(self, heard: LiveAnswer | SoundState) -> None:
        """Show an answer, at once; or the state of the sound, soon."""
        if isinstance(heard, SoundState):
            self.state = heard
            return
        self.heard = heard
        self._redraw()

    def __rich__(self) -> Group:
        level = Table.grid(padding=(0, 1))
        if self.state is not None:
            speaking = "  speech" if self.state.speaking else ""
            level.add_row(
                Text("level".ljust(self._words)),
                Bar(1, 0, self.state.level, width=WIDTH),
                f"{self.state.level_db:4.0f} dB{speaking}",
            )
        if self.heard is None:
            return Group(Text(f"Listening; the first answer comes after {self.first_s:g} s of sound"), level)
        window, smoothed = self.heard.window, self.heard.smoothed
        emotion = self.heard.smoothed_emotion
        said = NONE_HEARD if smoothed is None or emotion is None else f"{emotion} {smoothed[emotion]:.2f}"
        held = self.heard.held
        if held is not None and held.emotion != emotion:
            said += f"  (held: {held.emotion or NONE_HEARD})"
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
def live_meter(labels: tuple[str, ...], first_s: float) -> Iterator[Meter]:
    """Yield a meter on standard output, which stays there as it was last."""
    meter = Meter(labels, first_s)
    with Live(meter, console=Console(), refresh_per_second=8) as live:
        meter._redraw = live.refresh
        yield meter
