"""A worker process: hears what the server hands it, one thing after another, within bounds of memory."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from thymos.audio.blocks import channels_of
from thymos.audio.excerpt import Excerpt
from thymos.audio.media import MediaExtraError
from thymos.audio.mixing import Channel
from thymos.errors import AudioError, ThymosError, TooLongError
from thymos.live import TIME_CONSTANT_S
from thymos.live.piped import RawPcm
from thymos.live.smoothing import Smoother
from thymos.live.utterances import UtteranceWatch
from thymos.runtime.prediction import Prediction
from thymos.runtime.recognizer import Recognizer
from thymos.runtime.speakers import predict_speakers
from thymos.runtime.stream import Stream
from thymos.serving.frames import Head, receive_frame, send_frame

WANTED = "THYMOS_SERVING_MODELS"
"""Environment variable by which the server says what ``preloaded`` shall read: JSON, the arguments of its
``recognizers``."""


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker is.

    Attributes:
        folders: of the models, the default first.
        longest_s: of a recording.
        memory_bytes: that it may take, beside what it shares.
        niceness: how far it stands back for others, who must answer at once.
    """

    folders: tuple[str, ...]
    longest_s: float
    memory_bytes: int
    niceness: int = 0


def hear_for_server(line: socket.socket, setup: WorkerSetup) -> None:
    """Answer what comes on ``line`` until it ends, as it does with the server, whatever becomes of that."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach a whole terminal or service; the server says when
        signal.signal(number, signal.SIG_IGN)
    try:
        from thymos.serving.preloaded import recognizers

        models = recognizers(setup.folders, setup.longest_s)
    except ThymosError as error:
        send_frame(line, {"error": str(error)})
        return
    _stand_back(setup.niceness)
    _bound_memory(setup.memory_bytes)
    worker = _Hearing(models)
    try:
        send_frame(line, {"ready": True})
        while (frame := receive_frame(line)) is not None:
            head, content = frame
            answer = worker.answer(head, content)
            send_frame(line, {"id": head["id"], "last": worker.out_of_memory, **answer})
            if worker.out_of_memory:  # whatever library met that may have been left in a bad state
                return
    except ConnectionError:
        pass  # the server has gone


def _stand_back(niceness: int) -> None:
    if niceness and hasattr(os, "nice"):
        os.nice(niceness)


def _bound_memory(more_bytes: int) -> None:
    """Let this process take so much more memory of its own than it has."""
    if sys.platform != "linux":  # elsewhere the bound does not hold, or counts what is only reserved
        return
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - one line of the kernel's
        data_bytes = int(file.read().split()[5]) * resource.getpagesize()
    most = data_bytes + more_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard < 0 else min(most, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold what strangers said


@dataclass
class _Hearing:
    """What a worker knows: its models, and the live streams that it hears."""

    models: dict[str, Recognizer]
    streams: dict[str, "_HeardStream"] = field(default_factory=dict)
    out_of_memory: bool = False

    def answer(self, head: Head, content: bytes) -> Head:
        """Return the answer to a frame: with ``error``, one sentence, and ``kind`` where there is none."""
        return self._guarded(lambda: self._answer(str(head["do"]), head, content), head["do"] == "open")

    def _guarded(self, work: Callable[[], Head], is_call: bool = False) -> Head:
        """Return what ``work`` does, or what is wrong with it: with the sound, or the call where it ``is_call``."""
        try:
            return work()
        except AudioError as error:  # of a recording, whose name the server knows
            of_sound = "call" if is_call else "sound"
            kind = {TooLongError: "too_long", MediaExtraError: "unsupported"}.get(type(error), of_sound)
            return {"error": error.reason, "kind": kind}
        except ThymosError as error:
            return {"error": str(error), "kind": "call"}
        except MemoryError:
            self.out_of_memory = True
            return {"error": "takes more memory to hear than a worker may have", "kind": "memory"}
        except Exception as error:  # a fault of ours: it costs this request, and is told in the server's log
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            place = f"{where.tb_frame.f_code.co_qualname}:{where.tb_lineno}" if where else "?"
            return {"error": "could not be heard, by a fault of the server", "kind": "fault",
                    "fault": f"{type(error).__name__} in {place}"}  # fmt: skip

    def _answer(self, what: str, head: Head, content: bytes) -> Head:
        if what == "predict":
            return self._predict(head, content)
        if what == "embed":
            return self._embed(head, content)
        if what == "open":
            self.streams[head["stream"]] = _HeardStream.open(self.models[head["model"]], head)
            return {"labels": self.streams[head["stream"]].labels}
        if what == "feed":
            return {"events": self.streams[head["stream"]].feed(content)}
        if what == "end":
            stream = self.streams.pop(head["stream"], None)
            return {"events": [] if stream is None else stream.end()}
        assert what == "drop", what
        self.streams.pop(head["stream"], None)
        return {}

    def _embed(self, head: Head, content: bytes) -> Head:
        recognizer = self.models[head["model"]].tuned(head["vad_threshold"])
        if not head["windows"]:
            return {"embedding": _decimals(recognizer.embed(content, head["what"])), "model": recognizer.name}
        told = recognizer.embed_windows(content, head["what"])
        rows = zip(told.start_s.tolist(), told.end_s.tolist(), told.values, strict=True)
        windows = [{"start_s": start, "end_s": end, "embedding": _decimals(values)} for start, end, values in rows]
        return {"windows": windows, "model": recognizer.name}

    def _predict(self, head: Head, content: bytes) -> Head:
        recognizer = self.models[head["model"]].among(head["labels"]).tuned(head["vad_threshold"], head["shortest"])
        channels: Sequence[Channel] = [head["channels"]]
        if head["channels"] == "split":
            count = channels_of(content)
            channels = range(1, count + 1) if count > 1 else ["mix"]
        parts = [part for channel in channels for part in self._parts(recognizer, head, content, channel)]
        return {"parts": parts, "labels": list(recognizer.labels)}

    def _parts(self, recognizer: Recognizer, head: Head, content: bytes, channel: Channel) -> list[Head]:
        """Return what is said of a channel, or of each voice in it; each with ``said``, or ``error`` and ``kind``."""
        source = content if channel == "mix" else Excerpt(content, channel=channel)
        in_time = head["timeline"] or head["windows"]

        def hear() -> Head:
            if head["speakers"] is not None:
                heard = predict_speakers(recognizer, source, in_time)
            else:
                heard = [recognizer.predict(source, in_time)]
            return {"said": [self._said(recognizer, head, source, prediction) for prediction in heard]}

        told = self._guarded(hear)
        count = head["speakers"] or 1
        parts = [told] * count if "error" in told else [{"said": said} for said in told["said"]]
        where = {} if channel == "mix" else {"channel": channel}
        speakers = [{}] if head["speakers"] is None else [{"speaker": number} for number in range(1, count + 1)]
        return [part | where | speaker for part, speaker in zip(parts, speakers, strict=True)]

    def _said(self, recognizer: Recognizer, head: Head, source: bytes | Excerpt, prediction: Prediction) -> Head:
        said = prediction.to_dict()
        if prediction.timeline is not None:
            if not head["timeline"]:
                said.pop("timeline")
            if head["windows"]:
                said["windows"] = [window.to_dict() for window in prediction.timeline.windows]
        if head["explain"]:
            said["explanation"] = None if prediction.emotion is None else recognizer.explain(source).to_dict()
        return said


def _decimals(values: Any) -> list[float]:
    """Return the shortest decimals that are these 32-bit numbers again."""
    return [float(str(value)) for value in values]


@dataclass
class _HeardStream:
    """A live stream: its raw samples, its windows smoothed, its utterances."""

    labels: Sequence[str]
    pcm: RawPcm
    stream: Stream
    smoother: Smoother
    utterances: UtteranceWatch

    @classmethod
    def open(cls, recognizer: Recognizer, head: Head) -> "_HeardStream":
        recognizer = recognizer.among(head["labels"]).tuned(head["vad_threshold"])
        stream = recognizer.stream(head["rate"], head["window"], head["hop"], adapt=head["adapt"])
        pcm = RawPcm(head["format"], head["channels"])
        smoother = Smoother(recognizer.labels, head["smoothing"] or TIME_CONSTANT_S)
        return cls(recognizer.labels, pcm, stream, smoother, UtteranceWatch(stream.vad))

    def feed(self, content: bytes) -> list[dict[str, Any]]:
        return self._told(self.stream.feed(self.pcm.push(content)), False)

    def end(self) -> list[dict[str, Any]]:
        return self._told(self.stream.close(), True)

    def _told(self, windows: Sequence[Any], over: bool) -> list[dict[str, Any]]:
        events = [{"type": event.kind, **event.to_dict()} for event in self.utterances.new_events(over)]
        return events + [{"type": "measurement.result", **self.smoother.take(window).to_dict()} for window in windows]
