"""What is heard, for what takes no OSC: MIDI control changes, and JSON over a WebSocket to all who connect."""

import importlib
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from thymos.errors import MissingExtraError, ThymosError
from thymos.live.osc import parse_target

if TYPE_CHECKING:
    from thymos.live.smoothing import LiveAnswer
    from thymos.live.utterances import SoundState

HIGHEST = 127
"""Of the values that MIDI knows."""
MOST_WAITING = 1 << 20
"""Bytes that may wait for a client that reads slowly, or not at all; with more, it is let go."""
_START_S = 10.0
_OWN_PAGES = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")


class MidiControl(NamedTuple):
    """A control change: its number, and what its value says."""

    number: int
    says: str


LEVEL = MidiControl(14, "level: 0 at -60 dB of full scale, 127 at 0 dB")
SPEECH = MidiControl(15, "127 while somebody speaks, else 0")
HELD = MidiControl(3, "the emotion that is held: 1 for the model's first, and so on; 0: none heard")
EMOTIONS = MidiControl(20, "smoothed probability of the model's first emotion; 21: of the second, and so on")
CONTROLS = (HELD, LEVEL, SPEECH, EMOTIONS)
"""All of them numbers that MIDI 1.0 leaves free; with more than twelve emotions, they go on at 102."""


class BroadcastError(ThymosError):
    """Messages cannot be sent there."""


class MidiSender:
    """Sends control changes to one MIDI port, each when its value changes."""

    def __init__(self, target: str, labels: Sequence[str]):
        """Take a port's name, or a part of it, with ``:CHANNEL`` (1 to 16) after it if it is not 1; and the emotions.

        Raises:
            BroadcastError: there is no such port, or it cannot be opened.
            MissingExtraError: mido or its backend is not installed.
        """
        name, _, number = target.rpartition(":")
        if not (name and number.isascii() and number.isdigit()):
            name, number = target, "1"
        if not 1 <= int(number) <= 16:
            raise BroadcastError(f"MIDI has channels 1 to 16, not {number}")
        ports = midi_ports()
        found = [each for each in ports if each == target] or [each for each in ports if name.lower() in each.lower()]
        if not found:
            there = f"there is {', '.join(ports)}" if ports else "there is none"
            raise BroadcastError(f"no MIDI output is called {name!r}: {there}")
        self._mido = _mido()
        try:
            self._port = self._mido.open_output(found[0])
        except Exception as error:  # each backend has its own
            raise BroadcastError(f"the MIDI output {found[0]!r} cannot be opened: {error}") from None
        self._channel, self._labels = int(number) - 1, labels
        self._sent: dict[int, int] = {}

    def send(self, heard: "LiveAnswer | SoundState") -> None:
        """Send what is heard now.

        Raises:
            OSError: the port has gone.
        """
        for number, value in controls(heard, self._labels).items():
            if self._sent.get(number) != value:
                message = self._mido.Message("control_change", channel=self._channel, control=number, value=value)
                try:
                    self._port.send(message)
                except Exception as error:  # each backend has its own
                    raise OSError(str(error)) from None
                self._sent[number] = value

    def close(self) -> None:
        """Give the port back."""
        self._port.close()


def midi_ports() -> list[str]:
    """Return the names of the MIDI outputs of this machine.

    Raises:
        MissingExtraError: mido or its backend is not installed.
        BroadcastError: this machine has no MIDI.
    """
    try:
        return list(_mido().get_output_names())
    except MissingExtraError:
        raise
    except ImportError:
        raise _midi_extra() from None
    except Exception as error:  # each backend has its own
        raise BroadcastError(f"this machine has no MIDI: {error}") from None


def _mido() -> Any:
    try:
        return importlib.import_module("mido")
    except ImportError:
        raise _midi_extra() from None


def _midi_extra() -> MissingExtraError:
    return MissingExtraError("MIDI needs the libraries mido and python-rtmidi: pip install 'thymos[midi]'")


def controls(heard: "LiveAnswer | SoundState", labels: Sequence[str]) -> dict[int, int]:
    """Return the value of each control, as ``CONTROLS`` has them, that says what is heard now."""
    from thymos.live.utterances import SoundState

    if isinstance(heard, SoundState):
        return {LEVEL.number: round(HIGHEST * heard.level), SPEECH.number: HIGHEST * heard.speaking}
    held = heard.smoothed_emotion if heard.held is None else heard.held.emotion
    smoothed = heard.smoothed or {}
    values = {HELD.number: 0 if held is None else 1 + list(labels).index(held)}
    for number, word in zip((*range(EMOTIONS.number, 32), *range(102, 120)), labels, strict=False):
        values[number] = round(HIGHEST * smoothed.get(word, 0.0))
    return values


class WebSocketSender:
    """Tells all who connect what is heard, as JSON; what they send is not read. One who is slow delays nobody."""

    def __init__(self, target: str, labels: Sequence[str], model: str):
        """Listen at ``PORT`` of this machine, or ``HOST:PORT``.

        Pages of other sites that a browser on this machine shows cannot connect.

        Raises:
            BroadcastError: it cannot listen there.
            MissingExtraError: websockets is not installed.
        """
        import asyncio  # here: every command knows the tables of this module

        host, port = parse_target(f"127.0.0.1:{target}" if target.isdecimal() else target, "a WebSocket listens at")
        try:
            self._server_module = importlib.import_module("websockets.asyncio.server")
            self._closed_error = importlib.import_module("websockets.exceptions").ConnectionClosed
        except ImportError:
            raise MissingExtraError("--websocket needs the library websockets: pip install 'thymos[live]'") from None
        self._hello = json.dumps({"type": "hello", "model": model, "labels": list(labels)}, ensure_ascii=False)
        self._connections: set[Any] = set()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._refused: OSError | None = None
        began = threading.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._serve(host, port, began),), name="websocket", daemon=True
        )
        self._thread.start()
        began.wait(_START_S)
        if self._refused is not None or not began.is_set():
            reason = "it takes too long" if self._refused is None else self._refused.strerror or self._refused
            raise BroadcastError(f"a WebSocket cannot listen at {target}: {reason}")

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._connections)

    def send(self, message: Mapping[str, Any]) -> None:
        """Tell a message to all who are connected."""
        text = json.dumps(message, ensure_ascii=False)
        self._call(lambda: self._tell(text))

    def close(self) -> None:
        """Let all go."""
        self._call(self._over.set)
        self._thread.join(_START_S)

    def _call(self, work: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(work)

    def _tell(self, text: str) -> None:
        for connection in list(self._connections):
            if connection.transport.get_write_buffer_size() > MOST_WAITING:
                connection.transport.abort()
        self._server_module.broadcast(self._connections, text)

    async def _serve(self, host: str, port: int, began: threading.Event) -> None:
        try:
            server = await self._server_module.serve(
                self._attend, host, port, origins=[None, _OWN_PAGES], max_size=1024, close_timeout=1
            )
        except OSError as error:
            self._refused = error
            began.set()
            return
        began.set()
        async with server:
            await self._over.wait()

    async def _attend(self, connection: Any) -> None:
        with suppress(OSError, self._closed_error):
            await connection.send(self._hello)
            self._connections.add(connection)
            try:
                await connection.wait_closed()
            finally:
                self._connections.discard(connection)
