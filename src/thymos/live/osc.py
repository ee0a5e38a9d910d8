"""What is heard, sent as OSC messages: to what steers light, sound or video on a stage.

``ADDRESSES`` is the one table of them: ``thymos listen --help``, docs/live.md and examples/live_osc.py go by it.
"""

import importlib
import re
import socket
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple

from thymos.errors import MissingExtraError, ThymosError

if TYPE_CHECKING:
    from pythonosc.udp_client import SimpleUDPClient

    from thymos.live.smoothing import LiveAnswer
    from thymos.live.utterances import SoundState

NONE = "none"
EMOTION = "EMOTION"
"""In an address of the table: each of the model's emotions."""
Message = tuple[str, list[str | float | int]]


class OscAddress(NamedTuple):
    """An address, the values that are sent to it, and when: with each answer, or every ``STATE_S``."""

    address: str
    values: str
    sent: Literal["answer", "state"]


WINDOW = OscAddress("/thymos/window", "start, end and seconds of speech of the last window; 1 if unfamiliar", "answer")
RUNNING = OscAddress("/thymos/running/emotion", f"a word: the last window's emotion, or {NONE}", "answer")
RUNNING_EACH = OscAddress(f"/thymos/running/{EMOTION}", "0 to 1: its probability; 0 where none is heard", "answer")
SMOOTHED = OscAddress("/thymos/smoothed/emotion", f"a word: the smoothed emotion, or {NONE}", "answer")
SMOOTHED_EACH = OscAddress(f"/thymos/smoothed/{EMOTION}", "0 to 1: its smoothed probability", "answer")
HELD = OscAddress("/thymos/held/emotion", f"a word: what --hold and --margin hold, or {NONE}", "answer")
HELD_EACH = OscAddress(f"/thymos/held/{EMOTION}", "1 for the one that is held, 0 for others", "answer")
LEVEL = OscAddress("/thymos/level", "0 to 1: -60 dB of full scale or less, to 0 dB", "state")
LEVEL_DB = OscAddress("/thymos/level_db", "the same in dB", "state")
SPEECH = OscAddress("/thymos/speech", "1 while somebody speaks, else 0", "state")
ADDRESSES = (WINDOW, RUNNING, RUNNING_EACH, SMOOTHED, SMOOTHED_EACH, HELD, HELD_EACH, LEVEL, LEVEL_DB, SPEECH)


class OscError(ThymosError):
    """Messages cannot be sent there."""


class OscSender:
    """Sends to one receiver by UDP, which loses messages without a word where nobody receives."""

    def __init__(self, target: str, labels: tuple[str, ...]):
        """Take ``HOST:PORT`` (``[HOST]:PORT`` for IPv6), and the model's emotions.

        Raises:
            OscError: no such address.
            MissingExtraError: python-osc is not installed.
        """
        host, port = parse_target(target)
        try:
            client = importlib.import_module("pythonosc.udp_client").SimpleUDPClient
        except ImportError:
            raise MissingExtraError("OSC needs the library python-osc: pip install 'thymos[live]'") from None
        try:
            # Looked up once, not for every message: a name server may take longer than a hop.
            address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4][0]
        except OSError:
            raise OscError(f"OSC cannot be sent to {target}: there is no host {host}") from None
        self._client: SimpleUDPClient = client(str(address), port)
        self._labels = labels

    def send(self, heard: "LiveAnswer | SoundState") -> None:
        """Send what is heard now.

        Raises:
            OSError: the network does not take it.
        """
        for address, values in messages(heard, self._labels):
            self._client.send_message(address, values)

    def close(self) -> None:
        """Give the socket back."""
        self._client.close()

    def __enter__(self) -> "OscSender":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def parse_target(target: str, what: str = "OSC goes to") -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``; ``what`` begins the sentence where it is none.

    Raises:
        OscError: it is not of that form.
    """
    host, colon, port = target.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise OscError(f"{what} HOST:PORT, such as 127.0.0.1:9000, not to {target!r}")
    return host, int(port)


def messages(heard: "LiveAnswer | SoundState", labels: Sequence[str]) -> list[Message]:
    """Return the addresses and values that say what is heard now, in the order of ``ADDRESSES``.

    Numbers are 32-bit floats, but for 0 and 1 as a switch, which are integers.
    """
    from thymos.live.utterances import SoundState  # here: the help text, which the table is in, loads no library

    if isinstance(heard, SoundState):
        return [
            (LEVEL.address, [float(heard.level)]),
            (LEVEL_DB.address, [float(heard.level_db)]),
            (SPEECH.address, [int(heard.speaking)]),
        ]
    window, held = heard.window, heard.smoothed_emotion if heard.held is None else heard.held.emotion
    times_s = map(float, (window.start_s, window.end_s, window.speech_s))
    now, smoothed = window.probabilities or {}, heard.smoothed or {}
    said: list[Message] = [
        (WINDOW.address, [*times_s, int(window.out_of_distribution)]),
        (RUNNING.address, [window.emotion or NONE]),
        *_of_each(RUNNING_EACH, {word: float(now.get(word, 0.0)) for word in labels}),
        (SMOOTHED.address, [heard.smoothed_emotion or NONE]),
        *_of_each(SMOOTHED_EACH, {word: float(smoothed.get(word, 0.0)) for word in labels}),
        (HELD.address, [held or NONE]),
        *_of_each(HELD_EACH, {word: int(word == held) for word in labels}),
    ]
    return said


def _of_each(row: OscAddress, values: Mapping[str, float | int]) -> list[Message]:
    """Return a message for each label, to an address of its own, where OSC 1.0 forbids spaces and signs of patterns."""
    return [
        (row.address.replace(EMOTION, re.sub(r"[\s#*,/?\[\]{}]", "_", word)), [value]) for word, value in values.items()
    ]
