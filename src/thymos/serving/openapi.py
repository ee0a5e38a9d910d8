"""The OpenAPI document: what may be asked, and what is answered, with examples that are true."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from thymos.serving.bounds import ServingBounds
from thymos.serving.content import JSON, OFFERED, TEXTS
from thymos.serving.model_list import ServedModel
from thymos.serving.problems import MEDIA_TYPE, problem_of

EXAMPLE_STRETCHES: list[dict[str, Any]] = [
    {"start_s": 0.0, "end_s": 0.32, "emotion": None, "probability": None},
    {"start_s": 0.32, "end_s": 2.1, "emotion": "anger", "probability": 0.81},
]


def openapi_document(models: Sequence[ServedModel], bounds: ServingBounds) -> dict[str, Any]:
    """Return the document of a server that offers ``models`` within ``bounds``."""
    labels = list(models[0].about.labels)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Thymos",
            "version": version("thymos"),
            "summary": "Which emotion is heard in speech, where, and how sure that is.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/v1/predict": {"post": _predict(models, bounds, labels)},
            "/v1/embed": {"post": _embed(models, bounds)},
            "/v1/models": {"get": _plain("The models that are offered", {"$ref": "#/components/schemas/Models"})},
            "/v1/stream": {"get": _stream()},
            "/healthz": {"get": _plain("Whether the server is there", _STATUS, open_to_all=True)},
            "/readyz": {"get": _plain("Whether a recording would be heard now", _STATUS, open_to_all=True)},
            "/metrics": {"get": _metrics()},
        },
        "components": {
            "schemas": _schemas(labels),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


_STATUS = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
_TEXT = {"type": "string"}
_FLAG = {"type": "boolean", "default": False}


def _body(bounds: ServingBounds) -> dict[str, Any]:
    several = {"type": "array", "maxItems": bounds.files, "items": {"type": "string", "format": "binary"}}
    files = {"type": "object", "properties": {"file": several}}
    return {
        "required": True,
        "description": (
            f"A recording in any format that `thymos predict` hears, as the body itself, or files of a form; up to "
            f"{bounds.body_bytes / 1e6:g} MB together and {bounds.longest_s / 60:g} minutes each."
        ),
        "content": {"application/octet-stream": {}, "audio/*": {}, "multipart/form-data": {"schema": files}},
    }


def _query(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_CHANNELS = {"default": "mix", "anyOf": [{"enum": ["mix", "split"]}, {"type": "integer", "minimum": 1}]}
_WHAT = {"type": "string", "enum": ["embedding", "statistics"], "default": "embedding"}
_PROBABILITY = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
_VAD = _query("vad_threshold", "Probability at which speech begins; less hears fainter speech.", _PROBABILITY)


def _model(models: Sequence[ServedModel]) -> dict[str, Any]:
    names = [model.name for model in models]
    return _query("model", "Which model hears.", {"type": "string", "enum": names, "default": names[0]})


def _predict(models: Sequence[ServedModel], bounds: ServingBounds, labels: list[str]) -> dict[str, Any]:
    return {
        "operationId": "predict",
        "summary": "Say which emotion is heard in recordings, and how sure that is",
        "parameters": [
            _model(models),
            _query("timeline", "Say also from when to when.", _FLAG),
            _query("windows", "Tell also the overlapping windows that the timeline is made of.", _FLAG),
            _query("explain", "Say also which regions of time and frequency carried the decision.", _FLAG),
            _query("labels", "Tell only these apart: words with commas between them.", _TEXT)
            | {"example": ",".join(labels[:2])},
            _query("channels", "All as one (mix), each by itself (split), or the number of one.", _CHANNELS),
            _query("speakers", "Experimental: tell two voices of one channel apart.", {"type": "integer", "enum": [2]}),
            _VAD,
            _query("shortest", "Shortest stretch of a timeline, in seconds.", {"type": "number", "minimum": 0}),
        ],
        "requestBody": _body(bounds),
        "responses": {
            "200": {
                "description": "What is heard. Of several recordings, a line of JSON for each, some with `error`.",
                "content": {
                    JSON: {
                        "schema": {"$ref": "#/components/schemas/Prediction"},
                        "example": example_prediction(labels),
                    },
                    **{media_type: {"schema": _TEXT} for media_type in TEXTS},
                },
            },
            **_problems(bounds),
        },
    }


def _embed(models: Sequence[ServedModel], bounds: ServingBounds) -> dict[str, Any]:
    return {
        "operationId": "embed",
        "summary": "Return the embedding of recordings",
        "parameters": [
            _model(models),
            _query("what", "Made for telling emotions apart, or mean and deviation of states, layer by layer.", _WHAT),
            _query("windows", "Of each window with speech, not of the whole.", _FLAG),
            _VAD,
        ],
        "requestBody": _body(bounds),
        "responses": {
            "200": {
                "description": "The embedding.",
                "content": {
                    JSON: {
                        "schema": {"$ref": "#/components/schemas/Embedding"},
                        "example": {"file": "-", "embedding": [0.25, -1.5], "model": "thymos 6"},
                    }
                },
            },
            **_problems(bounds),
        },
    }


def _stream() -> dict[str, Any]:
    return {
        "operationId": "stream",
        "summary": "A WebSocket for live sound: a first message session.update, then raw sound; events come back",
        "responses": {"101": {"description": "The connection is a WebSocket from here on."}},
    }


def _metrics() -> dict[str, Any]:
    content = {"text/plain": {"schema": _TEXT}}
    summary = "What the server counts, for Prometheus"
    return {"summary": summary, "responses": {"200": {"description": summary + ".", "content": content}}}


def _plain(summary: str, schema: dict[str, Any], open_to_all: bool = False) -> dict[str, Any]:
    answer = {"summary": summary, "responses": {"200": _json(summary + ".", schema)}}
    return answer | ({"security": []} if open_to_all else {})


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _problems(bounds: ServingBounds) -> dict[str, Any]:
    sentences = {
        400: "there is no parameter 'timelines'; did you mean 'timeline'?",
        401: "a token is needed: Authorization: Bearer …",
        406: f"the answer can be {', '.join(OFFERED)}",
        408: "the body of the request came too slowly",
        413: f"the body of the request is larger than {bounds.body_bytes / 1e6:g} MB",
        415: "a body is taken as it is, not with Content-Encoding gzip",
        422: "is not sound in a known format",
        429: f"more than {bounds.rate:g} requests a second",
        500: "the worker process that heard it died; nothing else was lost",
        503: f"{bounds.queue} recordings wait to be heard, as many as may",
        504: f"took longer than {bounds.job_s:g} seconds to hear, so it was given up",
    }
    return {
        str(status): {
            "description": problem_of(status, "")["title"],
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "example": problem_of(status, sentence),
                }
            },
        }
        for status, sentence in sentences.items()
    }


def example_prediction(labels: Sequence[str]) -> dict[str, Any]:
    """Return an answer as it may be, of a model that tells ``labels`` apart."""
    share = round(0.2 / (len(labels) - 1), 4)
    return {
        "file": "clip.wav",
        "emotion": labels[0],
        "probabilities": {label: 0.8 if label == labels[0] else share for label in labels},
        "prediction_set": [labels[0]],
        "speech_s": 1.78,
        "duration_s": 2.1,
        "flags": [],
        "model": "thymos 6",
        "timeline": [stretch | ({"emotion": labels[0]} if stretch["emotion"] else {}) for stretch in EXAMPLE_STRETCHES],
    }


def _schemas(labels: Sequence[str]) -> dict[str, Any]:
    seconds: dict[str, Any] = {"type": "number", "minimum": 0}
    share: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}
    word: dict[str, Any] = {"type": ["string", "null"]}
    numbers: dict[str, Any] = {"type": "array", "items": {"type": "number"}}
    words: dict[str, Any] = {"type": "array", "items": _TEXT}
    shares = {"type": ["object", "null"], "additionalProperties": share}
    stretch = {"start_s": seconds, "end_s": seconds, "emotion": word, "probability": {"type": ["number", "null"]}}
    window = {"start_s": seconds, "end_s": seconds, "emotion": word, "probabilities": shares, "speech_s": seconds}
    prediction = {
        "file": _TEXT | {"description": "The name that was given, or -."},
        "emotion": word | {"description": f"One of the model's: {', '.join(labels)}. Null where nobody speaks."},
        "probabilities": shares,
        "prediction_set": words | {"description": "Holds the true emotion as often as the model's coverage says."},
        "speech_s": seconds,
        "duration_s": seconds,
        "flags": words | {"description": "What speaks against trusting the answer."},
        "model": _TEXT,
    }
    counted = {"type": "integer", "minimum": 1}
    told_of_some = {
        "channel": counted | {"description": "Of the recording, where channels are heard by themselves."},
        "speaker": counted | {"description": "Which voice of the recording, where two are told apart."},
        "shares": shares | {"description": "How much of the time each emotion has, where it was heard in windows."},
        "long": {"type": "boolean", "description": "Too long to be heard whole: its shares say what was heard."},
    }
    return {
        "Stretch": _object(stretch),
        "Window": _object(window),
        "Prediction": {
            **_object(prediction),
            "properties": {
                **prediction,
                **told_of_some,
                "timeline": {"type": "array", "items": {"$ref": "#/components/schemas/Stretch"}},
                "windows": {"type": "array", "items": {"$ref": "#/components/schemas/Window"}},
                "explanation": {"type": ["object", "null"]},
            },
        },
        "Embedding": {
            **_object({"file": _TEXT, "model": _TEXT}),
            "properties": {
                "file": _TEXT,
                "model": _TEXT,
                "embedding": numbers,
                "windows": {
                    "type": "array",
                    "items": _object({"start_s": seconds, "end_s": seconds, "embedding": numbers}),
                },
            },
        },
        "Models": _object({"models": {"type": "array", "items": {"type": "object", "required": ["name", "labels"]}}}),
        "Problem": _object(
            {
                "type": _TEXT,
                "title": _TEXT,
                "status": {"type": "integer"},
                "detail": _TEXT | {"description": "One sentence."},
            }
        ),
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}
