"""What is heard, sent as OSC messages: to what steers light, sound or video on a stage.

For each window, in this order (32-bit floats; where nobody speaks, the emotion is ``none`` and all probabilities 0):

- ``/thymos/window``: ``start_s``, ``end_s``, ``speech_s`` as floats, and 1 or 0 for out-of-distribution sound;
- ``/thymos/running/emotion`` and ``/thymos/smoothed/emotion``: a word;
- ``/thymos/running/anger`` and ``/thymos/smoothed/anger``, and so on: each a probability, as a fader takes it.
"""

import importlib
import re
import socket
from types import TracebackType
from typing import TYPE_CHECKING

from thymos.errors import MissingExtraError, ThymosError
from thymos.live.smoothing import LiveAnswer

if TYPE_CHECKING:
    from pythonosc.udp_client import SimpleUDPClient

NONE = "none"
ROOT = "/thymos"
Message = tuple[str, list[str | float | int]]


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

    def send(self, heard: LiveAnswer) -> None:
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


def parse_target(target: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``.

    Raises:
        OscError: it is not of that form.
    """
    host, colon, port = target.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise OscError(f"OSC goes to HOST:PORT, such as 127.0.0.1:9000, not to {target!r}")
    return host, int(port)


def messages(heard: LiveAnswer, labels: tuple[str, ...]) -> list[Message]:
    """Return the addresses and values that say what is heard now; see this module for what they are."""
    window = heard.window
    times_s = map(float, (window.start_s, window.end_s, window.speech_s))
    said: list[Message] = [(f"{ROOT}/window", [*times_s, int(window.out_of_distribution)])]
    answers = (("running", window.emotion, window.probabilities), ("smoothed", heard.smoothed_emotion, heard.smoothed))
    for name, emotion, probabilities in answers:
        said.append((f"{ROOT}/{name}/emotion", [emotion or NONE]))
        said += [(f"{ROOT}/{name}/{_part(word)}", [float((probabilities or {}).get(word, 0.0))]) for word in labels]
    return said


def _part(word: str) -> str:
    """Return a label as a part of an address, where OSC 1.0 forbids spaces and the signs of patterns."""
    return re.sub(r"[\s#*,/?\[\]{}]", "_", word)
