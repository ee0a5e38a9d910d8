"""How fast recordings are heard: shown while they are, and said in the end."""

import time

from rich.progress import Progress

_SHOWN_S = 1.0
"""From one showing to the next."""


class Throughput:
    """Counts recordings and their seconds of sound, in a task of a progress display."""

    def __init__(self, bars: Progress, total: int | None, said: str = "Listening"):
        """Begin with none of ``total`` recordings heard; ``said`` is what the task is called."""
        self._bars, self._said = bars, said
        self._task = bars.add_task(said, total=total)
        self._began_s = self._shown_s = time.monotonic()
        self.recordings, self.known, self.sound_s = 0, 0, 0.0
        """Heard, known from an earlier run, and how long those that were heard are."""

    def take(self, duration_s: float | None, known: bool = False) -> None:
        """Count a recording: of so many seconds, or one that could not be heard (None)."""
        if known:
            self.known += 1
        elif duration_s is not None:
            self.recordings += 1
            self.sound_s += duration_s
        now_s = time.monotonic()
        if now_s - self._shown_s >= _SHOWN_S:
            self._shown_s = now_s
            self._bars.update(self._task, description=f"{self._said} ({self._rate(now_s)})")
        self._bars.advance(self._task)

    def _rate(self, now_s: float) -> str:
        return f"{_long(60 * self.sound_s / max(1e-3, now_s - self._began_s))} of sound a minute"

    def __str__(self) -> str:
        now_s = time.monotonic()
        known = f"; {self.known} were known from an earlier run" if self.known else ""
        return (
            f"{self.recordings} recordings heard, {_long(self.sound_s)} of sound in {_long(now_s - self._began_s)}: "
            f"{self._rate(now_s)}{known}"
        )


def _long(seconds: float) -> str:
    """Return a length of time as people say it: "2.1 h", "3.5 min", "12 s"."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
