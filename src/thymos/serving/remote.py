"""A server's model as if it were here: ``thymos predict --server URL``. It needs no library but Python's own."""

import http.client
import io
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode, urlsplit

from thymos.audio.elsewhere import RemoteFile
from thymos.audio.excerpt import Excerpt
from thymos.errors import ArgumentError, AudioError, ThymosError
from thymos.runtime.prediction import Failure

TOKEN_VARIABLE = "THYMOS_TOKEN"
PATIENCE_S = 600.0
"""For one recording, waiting for a busy server included."""
_OF_THE_ROW = frozenset({"file", "channel", "speaker"})
"""What the command line says itself of each of its rows."""
_OF_THE_RECORDING = frozenset({408, 413, 415, 422, 500, 504})
"""Answers that say something of one recording; others are of the call."""


class RemoteError(ThymosError):
    """A server cannot be asked, or does not answer as one."""


@dataclass(frozen=True)
class RemotePrediction:
    """What a server heard in a recording."""

    told: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``Prediction.to_dict`` does."""
        return self.told


@dataclass(frozen=True)
class RemoteRecognizer:
    """A model of a server.

    Attributes:
        address: of the server.
        model: its name there.
        labels: that it tells apart.
        dimensions: such as arousal, that it tells beside them.
        sha256: of its files, by name.
        asked: labels that it is asked for; None: all of the model's.
        tuning: parameters of its query that say how it hears.
    """

    address: str
    model: str
    labels: tuple[str, ...]
    dimensions: tuple[str, ...]
    sha256: dict[str, str] = field(repr=False)
    asked: tuple[str, ...] | None = None
    tuning: dict[str, float] = field(default_factory=dict)

    @classmethod
    def find(cls, address: str, model: str | None) -> "RemoteRecognizer":
        """Return a model of the server at ``address``, its default where none is named.

        Raises:
            RemoteError: there is no such server or model, or it wants a token (``THYMOS_TOKEN``).
        """
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RemoteError(f"{address} is no address of a server, such as http://127.0.0.1:8450")
        address = address.rstrip("/") + "/"
        (told,) = _asked(urllib.request.Request(address + "v1/models", headers=_token()), address)
        try:
            models = {each["name"]: each for each in told["models"]}
            chosen = models[model] if model is not None else next(iter(models.values()))
        except KeyError:
            raise RemoteError(f"{address} has no model {model!r}; it has {', '.join(models)}") from None
        except (TypeError, StopIteration):
            raise RemoteError(f"{address} is no server of Thymos") from None
        return cls(address, chosen["name"], tuple(chosen["labels"]), tuple(chosen["dimensions"]), chosen["sha256"])

    def among(self, labels: Sequence[str] | None) -> "RemoteRecognizer":
        """Return one that tells only ``labels`` apart; itself if None. See ``Recognizer.among``.

        Raises:
            ThymosError: one is none of the model's, or there are fewer than two.
        """
        from thymos.labels import chosen_among

        if labels is None:
            return self
        places, unknown = chosen_among(labels, self.labels)
        if unknown:
            raise ArgumentError(f"{unknown[0]!r} is none of the labels of {self.model}: {', '.join(self.labels)}")
        if len(places) < 2:
            raise ArgumentError(f"two labels or more are needed to choose among, not {', '.join(labels) or 'none'}")
        chosen = tuple(self.labels[place] for place in places)
        return replace(self, labels=chosen, asked=chosen)

    def tuned(self, vad_threshold: float | None = None, shortest_s: float | None = None) -> "RemoteRecognizer":
        """Return one that takes less, or more, for speech or for a stretch; see ``Recognizer.tuned``."""
        given = {"vad_threshold": vad_threshold, "shortest": shortest_s}
        return replace(self, tuning={name: value for name, value in given.items() if value is not None})

    def predict_many(
        self,
        sources: Iterable[Any],
        timeline: bool = False,
        finished: Callable[[int, RemotePrediction | Failure], None] | None = None,
    ) -> Iterator[RemotePrediction | Failure]:
        """Yield what the server hears in each of ``sources``, in their order; see ``Recognizer.predict_many``.

        Raises:
            RemoteError: the server cannot be asked any more.
        """
        for place, source in enumerate(sources):
            result: RemotePrediction | Failure
            try:
                (result,) = self._heard(source, timeline)
            except AudioError as error:
                result = Failure(source, error)
            if finished is not None:
                finished(place, result)
            yield result

    def predict_speakers(self, source: Any, timeline: bool = False) -> list[RemotePrediction]:
        """Return what the server hears in each of two voices; see ``runtime.speakers.predict_speakers``.

        Raises:
            AudioError: the recording cannot be heard.
            RemoteError: the server cannot be asked any more.
        """
        return self._heard(source, timeline, {"speakers": 2})

    def _heard(self, source: Any, timeline: bool, more: dict[str, int] | None = None) -> list[RemotePrediction]:
        query: dict[str, Any] = {"model": self.model, "timeline": str(timeline).lower()} | self.tuning | (more or {})
        query |= {} if self.asked is None else {"labels": ",".join(self.asked)}
        if isinstance(source, Excerpt) and source.start_s == 0 and source.end_s is None:
            query |= {"channels": source.channel}
            source = source.path
        with _opened(source) as content:
            rows = self._answer(f"v1/predict?{urlencode(query)}", content)
        return [RemotePrediction({key: row[key] for key in row if key not in _OF_THE_ROW}) for row in rows]

    def _answer(self, path: str, content: IO[bytes]) -> list[dict[str, Any]]:
        n_bytes = content.seek(0, os.SEEK_END)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(n_bytes)} | _token()
        end_s = time.monotonic() + PATIENCE_S
        while True:
            content.seek(0)
            request = urllib.request.Request(self.address + path, content, headers, method="POST")
            try:
                return _asked(request, self.address)
            except _BusyError as error:
                if time.monotonic() + error.retry_s > end_s:
                    raise RemoteError(str(error)) from None
                time.sleep(error.retry_s)
                continue


class _BusyError(ThymosError):
    def __init__(self, sentence: str, retry_s: float):
        super().__init__(sentence)
        self.retry_s = retry_s


def _opened(source: Any) -> AbstractContextManager[IO[bytes]]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if isinstance(source, RemoteFile):
        return source.fetched()
    if not isinstance(source, str | os.PathLike):
        raise AudioError("is a part of a file, which is not sent: write it to a file of its own")
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise AudioError(f"cannot be opened: {error.strerror}") from None


def _token() -> dict[str, str]:
    token = os.environ.get(TOKEN_VARIABLE)
    return {"Authorization": f"Bearer {token}".encode().decode("latin-1")} if token else {}  # as bytes, in UTF-8


def _asked(request: urllib.request.Request, address: str) -> list[dict[str, Any]]:
    """Return the JSON objects that a server answers, a line each.

    Raises:
        AudioError: it says what is wrong with the recording.
        RemoteError: it cannot be asked, or says what is wrong with the call.
        _BusyError: it says when to come again.
    """
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            told = [json.loads(line) for line in answer.read().splitlines()]
    except urllib.error.HTTPError as error:
        sentence = _detail(error)
        if error.code in (429, 503) and (error.headers.get("Retry-After") or "").isdecimal():
            raise _BusyError(f"{address}: {sentence}", float(error.headers["Retry-After"])) from None
        if error.code in _OF_THE_RECORDING and request.data is not None:
            raise AudioError(sentence) from None
        hint = f" ({TOKEN_VARIABLE} bears it)" if error.code == 401 else ""
        raise RemoteError(f"{address}: {sentence}{hint}") from None
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        said = getattr(reason, "strerror", None) or reason
        raise RemoteError(f"{address} does not answer as a server: {said}") from None
    if not told or not all(isinstance(each, dict) for each in told):
        raise RemoteError(f"{address} is no server of Thymos")
    return told


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError, OSError):
        return f"{error.code} {error.reason}"
