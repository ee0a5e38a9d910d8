"""What the server answers is what the command line says: the same rows, the same sentences."""

import json
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from servers import eventually

from thymos.audio import read_waveform
from thymos.audio.conditioning import resample
from thymos.runtime.recognizer import load

CUT_FORM = b'--xx\r\nContent-Disposition: form-data; name="f"; filename="%d.wav"\r\n\r\nx\r\n' * 2 % (1, 2)


def told(thymos_here, *words) -> list[dict]:
    done = thymos_here("predict", *words, "--format", "jsonl")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("query", ["", "?timeline=true", "?timeline=1&labels=anger,sadness"])
def test_a_recording_is_answered_as_the_command_line_does(client, clip, thymos_here, query):
    words = (["--timeline"] if "timeline" in query else []) + (
        ["--labels", "anger,sadness"] if "labels" in query else []
    )
    expected = told(thymos_here, clip, *words)[0]
    by_form = client.post(f"/v1/predict{query}", files={"file": (str(clip), clip.read_bytes())})
    assert by_form.status_code == 200 and by_form.headers["content-type"] == "application/json; charset=utf-8"
    assert by_form.json() == expected
    by_body = client.post(f"/v1/predict{query}", content=clip.read_bytes())
    assert by_body.json() == expected | {"file": "-"}
    assert list(by_body.json()) == list(expected), "fields come in the same order"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["audio/ogg", "application/octet-stream", "application/x-www-form-urlencoded", None])
def test_a_body_is_sound_whatever_its_type_says(client, clip, kind):
    answer = client.post(
        "/v1/predict", content=clip.read_bytes(), headers={} if kind is None else {"content-type": kind}
    )
    assert answer.status_code == 200 and answer.json()["emotion"]


def test_several_recordings_are_lines_and_one_that_cannot_be_heard_is_named(client, clip, thymos_here, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound" * 40)
    files = [("file", (str(path), path.read_bytes())) for path in (clip, bad, clip)]
    answer = client.post("/v1/predict", files=files)
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/jsonl; charset=utf-8"
    expected = told(thymos_here, clip, bad)
    assert rows == [expected[0], expected[1], expected[0]]
    assert rows[1]["error"] == "is not sound in a known format (320 bytes)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("accept", "format", "kind"),
    [
        ("text/csv", "csv", "text/csv"),
        ("text/tab-separated-values", "tsv", "text/tab-separated-values"),
        ("text/vtt", "vtt", "text/vtt"),
        ("text/x-rttm", "rttm", "text/x-rttm"),
        ("text/x-audacity-labels", "audacity", "text/x-audacity-labels"),
        ("text/praat-textgrid", "textgrid", "text/praat-textgrid"),
        ("application/x-subrip", "srt", "application/x-subrip"),
        ("text/html, application/x-subrip;q=0.9, */*;q=0.1", "srt", "application/x-subrip"),
    ],
)
def test_accept_chooses_the_format(client, clip, thymos_here, accept, format, kind):
    answer = client.post("/v1/predict", files={"file": (str(clip), clip.read_bytes())}, headers={"accept": accept})
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert answer.text == thymos_here("predict", clip, "--format", format).stdout


@pytest.fixture(scope="module")
def call(clip, mini, tmp_path_factory) -> Path:
    """Two people on a line, each in a channel."""
    other = sorted(mini.glob("sadness/*"))[3]
    ends = [resample(read_waveform(path), 16_000).samples for path in (clip, other)]
    count = min(map(len, ends))
    path = tmp_path_factory.mktemp("call") / "call.wav"
    soundfile.write(path, np.stack([end[:count] for end in ends], axis=1), 16_000, subtype="PCM_16")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("split",), ("2",), ("split", "--timeline", "--shortest", "1"), ("1", "--speakers", "2")]
)
def test_channels_and_voices_are_answered_as_the_command_line_does(client, call, clip, thymos_here, words):
    named = {"--shortest": "shortest", "--speakers": "speakers"}
    query = {"channels": words[0]} | ({"timeline": "true"} if "--timeline" in words else {})
    query |= {named[word]: words[place + 1] for place, word in enumerate(words) if word in named}
    expected = told(thymos_here, call, clip, "--channels", *words)
    files = [("file", (str(path), path.read_bytes())) for path in (call, clip)]
    answer = client.post("/v1/predict", params=query, files=files)
    assert [json.loads(line) for line in answer.text.splitlines()] == expected
    if words[0] == "split":
        assert [row.get("channel") for row in expected] == [1, 2, None], "one channel is not split"
        assert expected[0]["probabilities"] != expected[1]["probabilities"]


def test_a_channel_alone_can_be_subtitles_and_several_cannot(client, call, thymos_here):
    accept = {"accept": "application/x-subrip"}
    one = client.post("/v1/predict?channels=2", content=call.read_bytes(), headers=accept)
    assert one.text == thymos_here("predict", call, "--channels", "2", "--format", "srt").stdout != ""
    both = client.post("/v1/predict?channels=split", content=call.read_bytes(), headers=accept)
    assert both.status_code == 406
    assert both.json()["detail"].endswith("tells of one recording, and there are 2 channels or voices of it")


def test_a_channel_that_is_not_there_is_told_as_on_the_command_line(client, call, thymos_here):
    answer = client.post("/v1/predict?channels=3", content=call.read_bytes())
    said = thymos_here("predict", call, "--channels", "3")
    assert answer.status_code == 422 and answer.json()["detail"] in said.stderr


def test_what_counts_as_speech_is_set_as_on_the_command_line(client, clip, thymos_here):
    expected = told(thymos_here, clip, "--vad-threshold", "0.95")[0]
    answer = client.post("/v1/predict?vad_threshold=0.95", content=clip.read_bytes()).json()
    assert answer == expected | {"file": "-"} and answer["speech_s"] < told(thymos_here, clip)[0]["speech_s"]


@pytest.mark.slow
def test_windows_and_explanation_come_when_asked_for(client, clip):
    recognizer = load("thymos", threads=1)
    row = client.post("/v1/predict?windows=true&explain=true", content=clip.read_bytes()).json()
    timeline = recognizer.timeline(clip)
    assert row["windows"] == [window.to_dict() for window in timeline.windows]
    assert "timeline" not in row, "it was not asked for"
    assert row["explanation"] == recognizer.explain(clip).to_dict()


def test_embedding_is_that_of_python(client, clip):
    answer = client.post("/v1/embed", content=clip.read_bytes()).json()
    assert answer["file"] == "-" and answer["model"].startswith("thymos ")
    np.testing.assert_array_equal(np.float32(answer["embedding"]), load("thymos").embed(clip))
    query = {"what": "statistics", "windows": "true", "vad_threshold": "0.9"}
    windows = client.post("/v1/embed", params=query, content=clip.read_bytes()).json()["windows"]
    expected = load("thymos").tuned(0.9).embed_windows(clip, "statistics")
    assert [(each["start_s"], each["end_s"]) for each in windows] == [
        *zip(expected.start_s, expected.end_s, strict=True)
    ]
    np.testing.assert_array_equal(np.float32([each["embedding"] for each in windows]), expected.values)
    assert (
        client.post("/v1/embed?what=mfcc", content=b"x").json()["detail"]
        == "what is embedding or statistics, not 'mfcc'"
    )


def test_models_are_told_and_chosen(client, clip):
    models = client.get("/v1/models").json()["models"]
    assert [model["name"] for model in models] == ["thymos", "thymos-aesdd"]
    assert all(model["licence"] and model["trained_on"] and model["scores"] is not None for model in models)
    row = client.post("/v1/predict?model=thymos-aesdd", content=clip.read_bytes()).json()
    assert set(row["probabilities"]) == set(models[1]["labels"]) != set(models[0]["labels"])


@pytest.mark.parametrize(
    ("query", "content", "headers", "status", "sentence"),
    [
        ("?timelines=1", b"x", {}, 400, "there is no parameter 'timelines'; did you mean 'timeline'?"),
        ("?timeline=maybe", b"x", {}, 400, "timeline is true or false, not 'maybe'"),
        ("?channels=0", b"x", {}, 400, "channels are mix, split, or the number of one from 1, not '0'"),
        ("?channels=left", b"x", {}, 400, "channels are mix, split, or the number of one from 1, not 'left'"),
        ("?speakers=3", b"x", {}, 400, "speakers are 2, the voices that can be told apart, not '3'"),
        ("?speakers=2&explain=1", b"x", {}, 400, "where speakers are told apart, nothing is explained"),
        ("?vad_threshold=high", b"x", {}, 400, "vad_threshold is a number, not 'high'"),
        ("?vad_threshold=nan", b"x", {}, 400, "speech begins at a probability between 0 and 1, not at nan"),
        ("?shortest=-1", b"x", {}, 400, "the shortest stretch is a number of seconds, not -1.0"),
        ("?timeline=1&timeline=0", b"x", {}, 400, "the parameter 'timeline' is given twice"),
        ("?model=thymoss", b"x", {}, 400, "there is no model 'thymoss' here; did you mean 'thymos'?"),
        ("", b"", {}, 422, "is empty (0 bytes)"),
        ("", b"hello", {}, 422, "is not sound in a known format (5 bytes)"),
        ("", b"x", {"accept": "image/png"}, 406, "the answer can be application/json, "),
        ("", b"x", {"content-encoding": "gzip"}, 415, "a body is taken as it is, not with Content-Encoding gzip"),
        ("", b"--", {"content-type": "multipart/form-data"}, 400, "Missing boundary in multipart."),
        (
            "",
            CUT_FORM,
            {"content-type": "multipart/form-data; boundary=xx"},
            400,
            "the form has no end: it is cut short",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(client, query, content, headers, status, sentence):
    answer = client.post(f"/v1/predict{query}", content=content, headers=headers)
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert problem["status"] == status and problem["title"] and problem["type"] == "about:blank"
    assert problem["detail"].startswith(sentence)


def test_labels_that_the_model_does_not_have_are_refused_as_on_the_command_line(client, clip, thymos_here):
    answer = client.post("/v1/predict?labels=anger,envy", content=clip.read_bytes())
    said = thymos_here("predict", clip, "--labels", "anger,envy")
    assert answer.status_code == 400 and said.returncode == 2
    assert said.stderr == f"thymos: {answer.json()['detail']}\n"


def test_one_recording_s_formats_take_one(client, clip):
    files = [("file", ("a.wav", clip.read_bytes())), ("file", ("b.wav", clip.read_bytes()))]
    answer = client.post("/v1/predict", files=files, headers={"accept": "text/vtt"})
    assert answer.status_code == 406
    assert answer.json()["detail"] == "text/vtt tells of one recording, and there are 2"


def test_a_form_s_fields_are_not_taken_for_options(client, clip):
    answer = client.post("/v1/predict", files={"file": ("a.wav", clip.read_bytes())}, data={"timeline": "true"})
    assert answer.status_code == 400 and "?timeline=true" in answer.json()["detail"]
    assert client.post("/v1/predict", data={"x": "y"}, files={}).status_code == 422  # a form of the old kind is a body


def test_a_form_s_names_are_those_that_files_have(client):
    answer = client.post("/v1/predict", files=[("file", (name, b"x")) for name in ('"a"\n.wav', "../b.wav")])
    assert [json.loads(line)["file"] for line in answer.text.splitlines()] == ['"a"\n.wav', "../b.wav"]


def test_accept_may_come_in_several_lines(client, clip):
    lines = [("accept", "text/csv;q=0.1"), ("accept", "application/json")]
    answer = client.post("/v1/predict", content=clip.read_bytes(), headers=lines)
    assert answer.headers["content-type"].startswith("application/json")


def test_addresses_that_are_not_there_and_methods_that_do_not_fit(client):
    for answer, status in ((client.get("/v2"), 404), (client.get("/v1/predict"), 405), (client.get("/page/x.js"), 404)):
        assert answer.status_code == answer.json()["status"] == status


def test_health(client):
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready", "workers": 2, "waiting": 0}


def test_metrics_count_requests_by_route_and_status(client):
    def counted() -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(
            float(line.split()[-1])
            for line in lines
            if line.startswith('thymos_requests_total{route="/v1/models",status="200"')
        )

    before = counted()
    client.get("/v1/models")
    assert counted() == before + 1


@pytest.mark.slow
def test_openapi_document_describes_the_answers(client, clip):
    jsonschema = pytest.importorskip("jsonschema")
    document = client.get("/openapi.json").json()
    from thymos.serving.gate import ROUTES

    assert set(document["paths"]) == {route for route in ROUTES if route not in ("/", "/openapi.json", "/favicon.ico")}
    answer = client.post("/v1/predict?timeline=1&windows=1", content=clip.read_bytes()).json()
    examples = [
        answer,
        document["paths"]["/v1/predict"]["post"]["responses"]["200"]["content"]["application/json"]["example"],
    ]
    for content in examples:
        schema = {"$ref": "#/components/schemas/Prediction", "components": document["components"]}
        jsonschema.validate(content, schema)
        assert set(content) <= {*document["components"]["schemas"]["Prediction"]["properties"]}
    problem = client.post("/v1/predict", content=b"hello").json()
    jsonschema.validate(problem, {"$ref": "#/components/schemas/Problem", "components": document["components"]})


def test_nothing_of_a_recording_is_logged(server, client, clip):
    client.post("/v1/predict?labels=anger,Maria", files={"file": ("Maria Papadopoulou.wav", clip.read_bytes())})
    client.get("/v1/Maria")
    events = server.events()
    assert {"method": "POST", "route": "/v1/predict", "status": 400} in [
        {key: event.get(key) for key in ("method", "route", "status")} for event in events
    ]
    assert "Maria" not in server.log.read_text() and "127.0.0.1" not in server.log.read_text()


def test_answers_may_be_shown_nowhere_else_and_kept_nowhere(client):
    headers = client.get("/").headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers
    assert client.post("/v1/predict", content=b"hello").headers["cache-control"] == "no-store"
    assert "server" not in headers


@pytest.mark.slow
def test_no_upload_is_left_on_the_disk(serve, clip, tmp_path, make_tone, write_sound):
    folder = Path(tempfile.mkdtemp(prefix="t"))  # short: sockets that lie in it have paths of a hundred letters at most
    server = serve("--workers", "1", env={"TMPDIR": str(folder)})
    large = write_sound(tmp_path / "large.wav", make_tone(60, 48_000), 48_000).read_bytes()
    assert len(large) > 5_000_000
    with server.client() as client:
        for _ in range(2):
            assert client.post("/v1/predict", content=large).status_code == 200
            assert client.post("/v1/predict", files={"file": ("a.wav", large)}).status_code == 200

    def opened() -> list[str]:
        found = []
        for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed just now
                found.append(str(link.readlink()))
        return found

    assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert eventually(lambda: not any(str(folder) in link for link in opened()))
