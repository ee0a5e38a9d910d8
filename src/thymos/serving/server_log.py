"""What the server writes of its work: no file name, no sound, no address of a client."""

import json
import sys
import time
import traceback
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

LogFormat = Literal["text", "json", "off"]


class ServerLog:
    """Lines on standard error: one a request, and one for each fault."""

    def __init__(self, format: LogFormat, stream: TextIO | None = None):
        """Take how lines are written."""
        self.format, self._stream = format, stream or sys.stderr

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Tell of a request that was answered."""
        told = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1)}
        self._write("request", told, f"{method} {route} {status} {seconds * 1000:.0f} ms")

    def event(self, what: str) -> None:
        """Tell what happens to the server itself."""
        self._write(what, {}, what)

    def fault(self, error: BaseException) -> None:
        """Tell of a fault of the server's own: its kind and where, without any value, which might be a name."""
        places = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-6:]]
        self.told_fault(type(error).__name__, places)

    def told_fault(self, kind: str, places: list[str]) -> None:
        """Tell of a fault that a worker met."""
        self._write("fault", {"kind": kind, "at": places}, f"fault: {kind} at {' < '.join(reversed(places))}")

    def _write(self, event: str, told: dict[str, Any], text: str) -> None:
        if self.format == "off":
            return
        now = datetime.now(UTC)
        if self.format == "json":
            line = json.dumps({"time": now.isoformat(timespec="milliseconds"), "event": event, **told})
        else:
            line = f"{time.strftime('%H:%M:%S')} {text}"
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads it any more, which is no reason to end
            self.format = "off"
