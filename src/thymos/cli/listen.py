"""``thymos listen``: which emotion is heard now, from the microphone or from what is piped in."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from thymos.cli.console import (
    ChosenOption,
    ModelOption,
    VadOption,
    VoiceOption,
    VoicesOption,
    chosen_labels,
    say,
    tell,
)
from thymos.errors import ThymosError
from thymos.escaping import json_line
from thymos.live import HOLD_S, HOP_S, MARGIN, TIME_CONSTANT_S, PcmFormat
from thymos.live.broadcast import CONTROLS
from thymos.live.osc import ADDRESSES
from thymos.streams import standard_input

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thymos.audio.mixing import Channel
    from thymos.live.smoothing import LiveAnswer
    from thymos.live.utterances import SoundState, StateWatch
    from thymos.runtime.prediction import Window
    from thymos.runtime.stream import Stream

MOST_CHANNELS = 32


class SourceError(ThymosError):
    """The options do not say where sound comes from."""


class Sender(Protocol):
    """Where answers go, and the state of the sound between them."""

    def send(self, heard: "LiveAnswer | SoundState") -> None:
        """Send what is heard now; raises OSError where that does not go."""


def _list_devices(wanted: bool) -> None:
    if not wanted:
        return
    from thymos.live.broadcast import BroadcastError, midi_ports
    from thymos.live.microphone import microphones

    problems = []
    for what, names_of in (("microphones (--device)", microphones), ("MIDI outputs (--midi)", midi_ports)):
        try:
            names: Sequence[str] = names_of()
        except (ThymosError, BroadcastError) as error:
            problems.append(error)
            say(f"{what}: {error}")
            continue
        tell(f"{what}:{'' if names else ' none'}")
        for name in names:
            tell(name if what.startswith("micro") else f"     {name}")
    raise typer.Exit(2 if len(problems) == 2 else 0)


def listen(
    source: Annotated[
        str | None,
        typer.Argument(metavar="[-]", help="- for standard input: a WAV, or raw PCM, of which --rate must tell."),
    ] = None,
    rate: Annotated[
        int | None, typer.Option(help="Samples per second of raw PCM on standard input; a WAV says its own.")
    ] = None,
    format: Annotated[PcmFormat | None, typer.Option(help="Of raw PCM (default: s16le).")] = None,
    channels: Annotated[
        int | None, typer.Option(min=1, max=MOST_CHANNELS, help="How many there are in raw PCM (default: 1).")
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(
            metavar="mix|N",
            help="Which is heard: the mean of all, or number N (default: of standard input all, of a microphone the"
            " first).",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Microphone: its number, or a part of its name.")] = None,
    list_devices: Annotated[
        bool,
        typer.Option(
            "--list-devices", callback=_list_devices, is_eager=True, help="Name microphones and MIDI outputs, and end."
        ),
    ] = False,
    model: ModelOption = None,
    window: Annotated[
        float | None, typer.Option(min=0.5, max=30, help="Seconds heard for an answer (default: the model's).")
    ] = None,
    hop: Annotated[float, typer.Option(min=0.05, help="Seconds from answer to answer.")] = HOP_S,
    smoothing: Annotated[
        float, typer.Option(min=0.01, max=3600, help="Time constant of the exponential smoothing, in seconds.")
    ] = TIME_CONSTANT_S,
    hold: Annotated[
        float, typer.Option(min=0, max=3600, metavar="SECONDS", help="How long an emotion is held at least.")
    ] = HOLD_S,
    margin: Annotated[
        float,
        typer.Option(
            min=0, max=0.99, metavar="P", help="How much likelier another must be than the one that is held, smoothed."
        ),
    ] = MARGIN,
    vad_threshold: VadOption = None,
    labels: ChosenOption = None,
    voice: VoiceOption = None,
    voices: VoicesOption = None,
    adapt: Annotated[
        bool, typer.Option("--adapt", help="Get to know the voice, room or line while it is heard, and take it out.")
    ] = False,
    osc: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="Send OSC messages there, too (addresses: below). May be repeated."),
    ] = None,
    midi: Annotated[
        str | None,
        typer.Option(metavar="PORT[:CHANNEL]", help="Send MIDI control changes (numbers: below) to this output, too."),
    ] = None,
    websocket: Annotated[
        str | None,
        typer.Option(metavar="[HOST:]PORT", help="Tell answers as JSON to all who connect to ws://HOST:PORT, too."),
    ] = None,
) -> None:
    """Say which emotion is heard now: a meter on a terminal, a line of JSON for each answer in a pipe.

    An answer holds the last window; under "smoothed", the windows so far, each counting exp(-age / time constant); and
    under "held", what --hold and --margin make of that, for a stage. Where nobody speaks, the emotion is null, which
    "none_heard" says, too: it is not neutral. The first answer comes after 1.5 s. Ends with its input, or with Ctrl-C.
    """
    from thymos.live.smoothing import Holder, Smoother
    from thymos.live.utterances import SoundState, StateWatch
    from thymos.runtime.adaptation import find_voice
    from thymos.runtime.recognizer import load

    if adapt and voice is not None:
        raise SourceError(
            "--adapt finds out what a voice is like, and --voice names one that is known: give one of both"
        )
    piped = source is not None or rate is not None or format is not None or channels is not None
    _check_source(source, piped, device)
    chosen = _chosen_channel(channel)
    known = None if voice is None else find_voice(voice, voices)
    recognizer = load(model).among(chosen_labels(labels)).tuned(vad_threshold).for_voice(known)
    recognizer.needs_emotions("listening")
    if adapt:
        _ = recognizer.space  # a model without is known before a microphone is opened
    with ExitStack() as opened:
        senders = _senders(osc or (), midi, recognizer.labels, opened)
        told = _told_to_all(websocket, recognizer.labels, recognizer.name, opened)
        if piped:
            rate_hz, blocks = _standard_input(rate, format, channels, chosen)
        else:
            rate_hz, blocks = _microphone(device, chosen, opened)
        stream = recognizer.stream(rate_hz, window, hop, adapt=adapt)
        if sys.stdout.isatty():
            from thymos.cli.meter import live_meter

            senders.append(opened.enter_context(live_meter(recognizer.labels, stream.first_s)).show)
        smoother, holder = Smoother(recognizer.labels, smoothing), Holder(hold, margin)
        watch = StateWatch(rate_hz, stream.vad)
        for heard in _heard(stream, watch, blocks):
            if isinstance(heard, SoundState):
                told({"type": "state", "at_s": round(heard.at_s, 3), **heard.to_dict()})
                news: LiveAnswer | SoundState = heard
            else:
                news = holder.take(smoother.take(heard))
                line = news.to_dict() | watch.state.to_dict() | ({} if known is None else {"voice": known.name})
                told({"type": "answer", **line})
                if not sys.stdout.isatty():
                    print(json_line(line), flush=True)
            for send in senders:
                send(news)


def _heard(stream: "Stream", watch: "StateWatch", blocks: "Iterable[NDArray[Any]]") -> "Iterator[Window | SoundState]":
    """Yield each window that ends in ``blocks``, and each new state of the sound, as soon as it is known."""
    from thymos.audio.blocks import as_mono

    for block in blocks:
        for piece in watch.pieces(as_mono(block)):
            yield from stream.feed(piece)
            state = watch.take(piece)
            if state is not None:
                yield state
    yield from stream.close()


def listen_epilog() -> str:
    """Return what ``listen --help`` ends with: the tables of what is sent to a stage."""
    osc = [f"{each.address}: {each.values}" for each in ADDRESSES]
    midi = [f"{each.number}: {each.says}" for each in CONTROLS]
    return "\n\n".join(["OSC addresses (EMOTION: each of the model's):", *osc, "MIDI control changes:", *midi])


def _check_source(source: str | None, piped: bool, device: str | None) -> None:
    if source not in (None, "-"):
        raise SourceError(f"the only source to name is -, not {source}: for files there is thymos predict")
    if piped and device is not None:
        raise SourceError("sound comes from --device or from standard input, not from both")
    if piped and sys.stdin is not None and sys.stdin.isatty():
        raise SourceError("standard input is a terminal: pipe sound into it, or name none for the microphone")


def _chosen_channel(channel: str | None) -> "Channel | None":
    from thymos.runtime.many import checked_channel

    if channel is None:
        return None
    number = int(channel) if channel.isdecimal() else 0
    return checked_channel(number or channel)


def _standard_input(
    rate: int | None, format: PcmFormat | None, channels: int | None, chosen: "Channel | None"
) -> "tuple[int, Iterator[NDArray[Any]]]":
    from thymos.live.piped import WavPieces, open_piped

    sound = open_piped(standard_input(), rate, format, channels)
    if isinstance(chosen, int) and chosen > sound.channels:
        raise SourceError(f"standard input has {_channels(sound.channels)}, so there is none of number {chosen}")
    if sound.is_wav and (rate, channels or sound.channels) not in (
        (None, sound.channels),
        (sound.rate_hz, sound.channels),
    ):
        say(f"standard input is a WAV at {sound.rate_hz} Hz, {_channels(sound.channels)}, and heard as such")

    def blocks() -> "Iterator[NDArray[Any]]":
        for block in sound.blocks:
            yield block[:, chosen - 1] if isinstance(chosen, int) else block
        if sound.pcm.left:
            say("standard input ended within a sample, which is left out")
        if isinstance(sound.pcm, WavPieces) and sound.pcm.missing:
            say("standard input ended before the sound of its WAV did")

    return sound.rate_hz, blocks()


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"


def _microphone(
    device: str | None, chosen: "Channel | None", opened: ExitStack
) -> "tuple[int, Iterator[NDArray[Any]]]":
    from thymos.live.microphone import open_microphone

    microphone = opened.enter_context(open_microphone(device, chosen))

    def blocks() -> "Iterator[NDArray[Any]]":
        said = False
        for block in microphone.blocks:
            if microphone.lost and not said:
                said = True
                say("sound was lost: this machine does not keep up")
            yield block

    return microphone.rate_hz, blocks()


def _senders(
    osc: Sequence[str], midi: str | None, labels: tuple[str, ...], opened: ExitStack
) -> "list[Callable[[LiveAnswer | SoundState], None]]":
    """Return what sends to each target; all of them are opened before anything is heard."""
    from thymos.live.broadcast import MidiSender
    from thymos.live.osc import OscSender

    senders = []
    for target in dict.fromkeys(osc):
        osc_sender = OscSender(target, labels)
        opened.callback(osc_sender.close)
        senders.append(_sent_on(osc_sender, f"OSC to {target}"))
    if midi is not None:
        midi_sender = MidiSender(midi, labels)
        opened.callback(midi_sender.close)
        senders.append(_sent_on(midi_sender, f"MIDI to {midi}"))
    return senders


def _sent_on(sender: Sender, name: str) -> "Callable[[LiveAnswer | SoundState], None]":
    """Return what sends, and says once where that does not go: a network that is away must not end a show."""
    failed = False

    def send(heard: "LiveAnswer | SoundState") -> None:
        nonlocal failed
        try:
            sender.send(heard)
            failed = False
        except OSError as error:
            if not failed:
                say(f"{name} is not sent: {error.strerror or error}")
            failed = True

    return send


def _told_to_all(
    websocket: str | None, labels: tuple[str, ...], model: str, opened: ExitStack
) -> Callable[[Mapping[str, Any]], None]:
    if websocket is None:
        return lambda message: None
    from thymos.live.broadcast import WebSocketSender

    sender = WebSocketSender(websocket, labels, model)
    opened.callback(sender.close)
    return sender.send
