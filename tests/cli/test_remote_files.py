"""Files that lie elsewhere, by address: in fsspec's file system in memory, and on a web server of this machine."""

import functools
import http.server
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from thymos.audio import elsewhere, search
from thymos.audio.elsewhere import RemoteFile, is_address, remote_files
from thymos.audio.excerpt import Excerpt
from thymos.cli.inputs import find_recordings
from thymos.errors import AudioError, MissingExtraError

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def clips(mini: Path) -> list[Path]:
    return sorted(mini.glob("*/*"))[::40][:3]


@pytest.fixture
def box(clips: list[Path]) -> Iterator[str]:
    """A folder in memory: files, a folder inside, a hidden file and a text."""
    system = fsspec.filesystem("memory")
    for name, clip in (("b.opus", clips[0]), ("a/c.opus", clips[1]), (".x.opus", clips[2]), ("a/note.txt", clips[2])):
        system.pipe(f"/box/{name}", clip.read_bytes())
    yield "memory://box"
    system.rm("/box", recursive=True)


class _Server(http.server.SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012 - one for all requests

    def do_GET(self) -> None:
        _Server.asked.append(self.path)
        if self.path.startswith("/broken"):
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(bytes(10))
        elif self.path.startswith("/busy"):
            self.send_error(503)
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        if self.path.startswith("/broken"):
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
        else:
            super().do_HEAD()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def web(clips: list[Path], tmp_path: Path) -> Iterator[str]:
    """A web server, which gives whole files only, whatever part is asked for."""
    root = tmp_path / "web"
    (root / "calls" / "deep").mkdir(parents=True)
    shutil.copy(clips[0], root / "calls" / "one.opus")
    shutil.copy(clips[1], root / "calls" / "deep" / "two words.opus")
    (root / "calls" / "page.html").write_text("no sound")
    _Server.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Server, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("s3://bucket/a.wav", True),
        ("http://example.org/a.wav", True),
        ("simplecache::s3://bucket/a.wav", True),
        ("a.wav", False),
        ("C:\\sounds\\a.wav", False),
        ("calls/12:30.wav", False),
        ("odd::.wav", True),
    ],
)
def test_what_is_an_address(word, known):
    assert is_address(word) == known


def test_a_file_that_lies_here_is_no_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("odd::.wav").touch()
    (recording,) = find_recordings(["odd::.wav"])
    assert recording.path == Path("odd::.wav")


def test_folders_and_patterns_elsewhere(box):
    def names(word: str) -> list[tuple[str, str]]:
        return [(each.name, str(each.inside)) for each in find_recordings([word])]

    assert names(box) == [("memory:///box/b.opus", "b.opus"), ("memory:///box/a/c.opus", "a/c.opus")]
    assert names(f"{box}/*.opus") == [("memory:///box/b.opus", "b.opus")]
    assert names(f"{box}/a/c.opus") == [(f"{box}/a/c.opus", "c.opus")]


@pytest.mark.slow
def test_they_are_heard_as_files_that_lie_here(recognizer, box, web, clips):
    expected = [recognizer.predict(clip, timeline=True) for clip in clips[:2]]
    addresses = [f"{box}/b.opus", f"{box}/a/c.opus", f"{web}/calls/one.opus", f"{web}/calls/deep/two%20words.opus"]
    heard = list(recognizer.predict_many(map(RemoteFile, addresses), timeline=True))
    assert heard == [*expected, *expected]
    part = recognizer.predict(Excerpt(RemoteFile(addresses[2]), 0.2, 1.0))
    assert part == recognizer.predict(Excerpt(clips[0], 0.2, 1.0))


@pytest.mark.slow
def test_parts_of_one_file_are_fetched_once(recognizer, web):
    file = RemoteFile(f"{web}/calls/one.opus", 10)
    heard = list(recognizer.predict_many(Excerpt(file, at / 10, at / 10 + 0.5) for at in range(8)))
    assert not any(isinstance(each, AudioError) for each in heard)
    assert _Server.asked.count("/calls/one.opus") == 1


@pytest.mark.slow
def test_a_folder_of_a_web_server(bundle, web, thymos_here, tmp_path):
    done = thymos_here("predict", f"{web}/calls/", "--model", bundle, "--format", "jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert [row["file"] for row in rows] == [f"{web}/calls/one.opus", f"{web}/calls/deep/two%20words.opus"]


@pytest.mark.slow
def test_a_table_of_addresses_and_files(bundle, box, web, clips, thymos_here, tmp_path):
    (tmp_path / "list.csv").write_text(
        f"path,start,end\n{web}/calls/one.opus,0.1,1\n{clips[2]},,\n{box}/b.opus,,\n{web}/none.opus,,\n"
    )
    words = ["predict", tmp_path / "list.csv", "--model", bundle]
    done = thymos_here(*words, "--format", "jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["file"] for row in rows] == [
        f"{web}/calls/one.opus#t=0.1,1", str(clips[2]), f"{box}/b.opus", f"{web}/none.opus",
    ]  # fmt: skip
    assert rows[0]["duration_s"] == pytest.approx(0.9, abs=0.01)
    assert rows[3]["error"] == "does not exist there" and done.returncode == 1
    done = thymos_here(*words, "--beside")
    assert done.returncode == 2 and "--beside writes beside files that lie here" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("{web}/none.wav", "does not exist there"),
        ("{web}/busy.wav", "the server answers 503"),
        ("{web}/broken.wav", "cannot be fetched: "),
        ("{web}/calls/page.html", "is not sound in a known format"),
        ("http://127.0.0.1:9/a.wav", "cannot be looked at: Cannot connect to host 127.0.0.1:9"),
        ("nosuch://a.wav", "is an address of a kind that is not known (nosuch)"),
        ("memory://nowhere/a.wav", "does not exist there"),
        ("memory://nowhere/*.wav", "matches no file"),
    ],
)
def test_what_goes_wrong_is_that_files_failure(bundle, web, clips, thymos_here, address, sentence):
    address = address.format(web=web)
    done = thymos_here("predict", address, clips[0], "--model", bundle, "--format", "jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and "error" not in rows[1]
    assert sentence in rows[0]["error"] and "\n" not in rows[0]["error"] and rows[0]["file"] == address


def test_a_file_has_a_bound(box, monkeypatch):
    monkeypatch.setattr(elsewhere, "MOST_BYTES", 1 << 10)
    for file in (RemoteFile(f"{box}/b.opus"), RemoteFile(f"{box}/b.opus", 1 << 11)):
        with pytest.raises(AudioError, match="is larger than 0 MiB"), file.fetched():
            pass


def test_no_more_copies_are_kept_than_a_few(box, clips):
    system = fsspec.filesystem("memory")
    for number in range(9):
        system.pipe(f"/box/{number}.wav", b"sound")
        with RemoteFile(f"{box}/{number}.wav").fetched() as file:
            assert file.read() == b"sound"
    assert len(elsewhere._copies._of) <= 4


def test_an_empty_folder_is_one_sentence(box):
    with pytest.raises(AudioError, match="is a folder without recordings"):
        remote_files(f"{box}/a", lambda name: search.is_sound_name(name) and name.endswith(".wav"))


def test_without_the_extra_one_line_names_the_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match=r"needs fsspec: pip install 'thymos\[remote\]'"):
        find_recordings(["s3://bucket/a.wav"])
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(MissingExtraError, match=r"needs the library aiohttp: pip install 'thymos\[remote\]'"):
        find_recordings(["http://example.org/a.wav"])
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtraError, match="needs another library: Install s3fs"):
        find_recordings(["s3://bucket/a.wav"])


@pytest.mark.slow
def test_what_a_killed_run_has_fetched_is_not_fetched_again(bundle, web, clips, tmp_path):
    calls = tmp_path / "web" / "calls"
    for number in range(40):
        shutil.copy(clips[number % 3], calls / f"{number:02d}.opus")
    out = tmp_path / "out.jsonl"
    journal = tmp_path / ".out.jsonl.journal"
    words = [
        sys.executable,
        "-m",
        "thymos",
        "predict",
        f"{web}/calls/",
        "--model",
        bundle,
        "--out",
        out,
        "--threads",
        1,
    ]
    command = list(map(str, words))
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (journal.is_file() and len(journal.read_text().splitlines()) > 8):
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.01)
    running.kill()
    running.wait()
    known = len(journal.read_text().splitlines()) - 1
    _Server.asked.clear()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and f"{known} were known from an earlier run" in done.stderr, done.stderr
    assert len([path for path in _Server.asked if path.endswith(".opus")]) == 42 - known
