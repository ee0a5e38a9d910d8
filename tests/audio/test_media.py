"""Formats that FFmpeg decodes: in a child process that is bounded, from this one file and no other."""

import io
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from thymos.audio import Samples, media, read_info, read_waveform
from thymos.audio.blocks import open_blocks
from thymos.audio.containers import MEDIA_SUFFIXES, media_kind
from thymos.audio.decode import read_waveform_and_info
from thymos.audio.media import MediaExtraError
from thymos.errors import AudioError, MissingExtraError

av = pytest.importorskip("av")

FORMATS = [
    ("m4a", "ipod", "aac", 44_100, None), ("m4a", "ipod", "alac", 44_100, None), ("mp4", "mp4", "aac", 48_000, "mpeg4"),
    ("mov", "mov", "pcm_s16le", 16_000, "mpeg4"), ("3gp", "3gp", "libopencore_amrnb", 8_000, None),
    ("aac", "adts", "aac", 44_100, None), ("amr", "amr", "libopencore_amrnb", 8_000, None),
    ("webm", "webm", "libopus", 48_000, "libvpx"), ("mkv", "matroska", "pcm_s16le", 24_000, "mpeg4"),
    ("avi", "avi", "libmp3lame", 44_100, "mpeg4"), ("flv", "flv", "aac", 44_100, "flv"),
    ("mts", "mpegts", "aac", 48_000, "mpeg2video"), ("caf", "caf", "alac", 44_100, None),
    ("wma", "asf", "wmav2", 44_100, None), ("mpg", "mpeg", "mp2", 44_100, "mpeg2video"),
]  # fmt: skip
LOSSLESS = {"alac", "pcm_s16le"}


def encoded(
    samples: Samples, muxer: str, codec: str, rate_hz: int, video: str | None = None, layout: str = "mono"
) -> bytes:
    """``samples``, shape ``(channels, n)``, through PyAV; beside video, where a video codec is named."""
    target = io.BytesIO()
    with av.open(target, "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        if video:
            images = container.add_stream(video, rate=25)
            images.width, images.height, images.pix_fmt = 64, 64, "yuv420p"
            for number in range(25):
                image = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 9 * number, np.uint8), "rgb24")
                image.pts, image.time_base = number, Fraction(1, 25)
                container.mux(images.encode(image))
            container.mux(images.encode(None))
        stream.bit_rate = 64_000 * len(np.atleast_2d(samples))
        frame = av.AudioFrame.from_ndarray(np.atleast_2d(samples).T.reshape(1, -1).copy(), "flt", layout)
        frame.sample_rate = rate_hz
        fitting = av.AudioResampler(
            stream.codec_context.format, layout, rate_hz, stream.codec_context.frame_size or None
        )
        for part in [*fitting.resample(frame), *fitting.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return target.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "muxer", "codec", "rate_hz", "video"), FORMATS)
def test_sound_comes_out_as_it_went_in(suffix, muxer, codec, rate_hz, video, make_tone):
    tone = make_tone(1.5, rate_hz, 440.0, 0.3)
    content = encoded(tone, muxer, codec, rate_hz, video)
    waveform, info = read_waveform_and_info(content)
    assert (waveform.rate_hz, info.channels) == (rate_hz, 1) and waveform.samples.dtype == np.float32
    assert f".{suffix}" in MEDIA_SUFFIXES and codec.removeprefix("libopencore_").removeprefix("lib")[:3] in info.format
    if codec in LOSSLESS:
        np.testing.assert_allclose(waveform.samples[: len(tone)], tone, atol=2**-14)
    # Codecs delay and pad by some frames of theirs.
    assert abs(waveform.duration_s - 1.5) < 0.12
    middle = waveform.samples[rate_hz // 2 : rate_hz]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert abs(spectrum.argmax() * rate_hz / len(middle) - 440) < 3
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.3, rel=0.25)


# Each is a child process of its own, whatever the format: make quick starts them for one.
@pytest.mark.parametrize(
    ("suffix", "muxer", "codec", "rate_hz", "video"),
    [FORMATS[0], *(pytest.param(*each, marks=pytest.mark.slow) for each in FORMATS[1:])],
)
def test_the_same_sound_comes_out_of_every_kind_of_source(suffix, muxer, codec, rate_hz, video, make_tone, tmp_path):
    content = encoded(make_tone(1.5, rate_hz, 440.0, 0.3), muxer, codec, rate_hz, video)
    samples = read_waveform(content).samples
    path = tmp_path / f"clip.{suffix}"
    path.write_bytes(content)
    for source in (path, str(path), io.BytesIO(content)):
        np.testing.assert_array_equal(read_waveform(source).samples, samples)
    with path.open("rb") as file:
        np.testing.assert_array_equal(read_waveform(file).samples, samples)
        assert not file.closed
    with open_blocks(path) as sound:
        np.testing.assert_array_equal(np.concatenate(list(sound.blocks)), samples)


@pytest.mark.slow
def test_an_open_file_begins_where_it_stands(make_tone):
    for muxer, codec in (("ipod", "alac"), ("caf", "alac")):  # of which libsndfile tries the second
        content = encoded(make_tone(0.5), muxer, codec, 16_000)
        file = io.BytesIO(b"something else" + content)
        file.seek(len(b"something else"))
        np.testing.assert_array_equal(read_waveform(file).samples, read_waveform(content).samples)


@pytest.mark.slow
def test_channels_are_averaged_as_those_of_other_files_are(make_tone):
    left = make_tone(1.0, 48_000)
    stereo = np.stack([left, np.float32(0.5) * left[::-1]])
    waveform, info = read_waveform_and_info(encoded(stereo, "mov", "pcm_f32le", 48_000, layout="stereo"))
    assert info.channels == 2
    np.testing.assert_allclose(waveform.samples, stereo.mean(axis=0), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_eight_channels_are_read_whether_they_come_in_planes_or_not(codec, make_tone):
    every = np.stack([make_tone(0.5, 48_000, level=0.05 * (1 + at)) for at in range(8)])
    waveform, info = read_waveform_and_info(encoded(every, "mov", codec, 48_000, layout="7.1"))
    assert info.channels == 8
    middle = slice(8_000, 16_000)
    loudness = np.sqrt(np.mean(waveform.samples[middle] ** 2))
    assert loudness == pytest.approx(np.sqrt(np.mean(every.mean(axis=0)[middle] ** 2)), rel=0.15)


def test_more_channels_are_refused(make_tone):
    every = np.repeat(make_tone(0.5, 48_000)[None], 24, axis=0)
    with pytest.raises(AudioError, match="has 24 channels, more than 8"):
        read_waveform(encoded(every, "mov", "pcm_s16le", 48_000, layout="22.2"))


@pytest.mark.slow
def test_long_sound_is_in_blocks_of_one_length(make_tone):
    content = encoded(make_tone(9.0, 48_000), "mov", "pcm_s16le", 48_000)
    with open_blocks(content) as sound:
        lengths = [len(block) for block in sound.blocks]
    assert len(lengths) == 7 and set(lengths[:-1]) == {1 << 16} and sum(lengths) == 9 * 48_000


@pytest.mark.slow
def test_info_tells_what_the_header_says(make_tone):
    content = encoded(make_tone(2.0, 44_100), "ipod", "aac", 44_100)
    info = read_info(content)
    assert info.format == "M4A aac" and info.duration_s == pytest.approx(2.0, abs=0.1)
    with pytest.raises(AudioError, match="does not say how long it is"):
        read_info(_without_duration(make_tone))


def _without_duration(make_tone: Callable[..., Samples]) -> bytes:
    """As browsers record: Matroska whose length was not known when its header was written."""
    target = _Pipe()
    with av.open(target, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(make_tone(2.0, 48_000)[None], "flt", "mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.content


class _Pipe:
    """What cannot be sought in."""

    content = b""

    def write(self, content: bytes) -> int:
        self.content += bytes(content)
        return len(content)


@pytest.mark.slow
def test_a_recording_of_a_browser_which_says_no_length_is_read(make_tone):
    waveform, info = read_waveform_and_info(_without_duration(make_tone))
    assert waveform.duration_s == pytest.approx(2.0, abs=0.05) and info.frames == len(waveform.samples)


# --- what is refused ---


@pytest.mark.slow
def test_a_format_that_needs_the_extra_says_which(make_tone, tmp_path):
    path = tmp_path / "call.m4a"
    path.write_bytes(encoded(make_tone(1.0, 44_100), "ipod", "aac", 44_100))
    code = (
        "import sys; sys.modules['av'] = None\n"
        "from importlib import util; found = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'av' else found(name, *more)\n"
        "from thymos.audio import read_waveform\n"
        "from thymos.errors import AudioError, MissingExtraError\n"
        "try: read_waveform(sys.argv[1])\n"
        "except AudioError as error: print(isinstance(error, MissingExtraError), error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "True is M4A, which needs PyAV to be decoded: pip install 'thymos[media]'\n"
    assert issubclass(MediaExtraError, AudioError) and issubclass(MediaExtraError, MissingExtraError)


@pytest.mark.slow
def test_video_without_sound_is_named_so():
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        images = container.add_stream("mpeg4", rate=25)
        images.width, images.height, images.pix_fmt = 64, 64, "yuv420p"
        container.mux(images.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")))
        container.mux(images.encode(None))
    with pytest.raises(AudioError, match="has no sound track"):
        read_waveform(target.getvalue())


@pytest.mark.slow
def test_damaged_packets_are_left_out_and_mostly_damaged_files_refused(make_tone):
    content = encoded(make_tone(3.0, 44_100), "adts", "aac", 44_100)
    some = bytearray(content)
    some[len(some) // 2 : len(some) // 2 + 40] = bytes(40)
    assert 2.5 < read_waveform(bytes(some)).duration_s < 3.2
    noise = np.random.default_rng(0).bytes(len(content) - 7)
    with pytest.raises(AudioError, match=r"damaged|no s"):
        read_waveform(content[:7] + noise)


@pytest.mark.parametrize(("muxer", "codec"), [("ipod", "aac"), ("webm", "libopus"), ("avi", "libmp3lame")])
@pytest.mark.parametrize("share", [0.01, pytest.param(0.3, marks=pytest.mark.slow), 0.6, 0.99])
def test_a_file_cut_off_anywhere_is_refused_or_read_short(muxer, codec, share, make_tone):
    content = encoded(make_tone(2.0, 48_000), muxer, codec, 48_000)
    try:
        duration_s = read_waveform(content[: int(share * len(content))]).duration_s
    except AudioError as error:
        assert "\n" not in str(error)
    else:
        assert 0 < duration_s < 2.1


@pytest.mark.slow
def test_tables_of_gigabytes_are_stopped_in_time_and_in_memory(make_tone):
    content = bytearray(encoded(make_tone(2.0, 44_100), "ipod", "aac", 44_100))
    struct.pack_into(">II", content, content.find(b"stsz") + 8, 1, 85_000_000)
    struct.pack_into(">I", content, content.find(b"stsc") + 16, 85_000_000)
    struct.pack_into(">I", content, content.find(b"stts") + 12, 85_000_000)
    code = (
        "import sys, resource; from thymos.audio import read_waveform; from thymos.errors import AudioError\n"
        "try: read_waveform(sys.stdin.buffer.read())\n"
        "except AudioError as error: print(error)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_maxrss / 1024, used.ru_utime + used.ru_stime)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=bytes(content), capture_output=True, check=True)
    _, figures = done.stdout.decode().splitlines()
    memory_mb, cpu_s = map(float, figures.split())
    assert memory_mb < 640 and cpu_s < 5


@pytest.mark.slow
def test_a_decoder_that_computes_without_end_is_stopped(make_tone, monkeypatch, tmp_path):
    worker = tmp_path / "worker.py"
    text = media._WORKER.read_text().replace(
        "    container = av.open(", "    while True: pass\n    container = av.open("
    )
    worker.write_text(text)
    monkeypatch.setattr(media, "_WORKER", worker)
    monkeypatch.setattr(media, "CPU_S", 1)
    with pytest.raises(AudioError, match="is damaged: decoding it took 1 s without giving sound"):
        read_waveform(encoded(make_tone(1.0, 44_100), "ipod", "aac", 44_100))


@pytest.mark.slow
def test_a_decoder_that_crashes_costs_the_file_only(make_tone, monkeypatch, tmp_path):
    worker = tmp_path / "worker.py"
    crash = "    import ctypes; ctypes.string_at(0)\n    container = av.open("
    worker.write_text(media._WORKER.read_text().replace("    container = av.open(", crash))
    content = encoded(make_tone(1.0, 44_100), "ipod", "aac", 44_100)
    with monkeypatch.context() as patch:
        patch.setattr(media, "_WORKER", worker)
        with pytest.raises(AudioError, match="it made the decoder fail"):
            read_waveform(content)
    assert read_waveform(content).duration_s > 0.9


@pytest.mark.slow
def test_the_child_ends_when_nobody_listens_any_more(make_tone):
    content = encoded(make_tone(30.0, 48_000), "mov", "pcm_s16le", 48_000)
    before = _children()  # servers of other tests
    with open_blocks(content) as sound:
        next(sound.blocks)
        (child,) = _children() - before
    assert child not in _children()
    with pytest.raises(KeyError), open_blocks(content) as sound:
        raise KeyError
    assert not _children() - before


def _children() -> set[int]:
    return {int(word) for task in Path("/proc/self/task").iterdir() for word in (task / "children").read_text().split()}


# --- no other file, and no network ---


@pytest.fixture
def listener():
    """A server that counts who calls."""
    server = socket.create_server(("127.0.0.1", 0))
    calls: list[object] = []

    def accept() -> None:
        try:
            while True:
                calls.append(server.accept())
        except OSError:
            return

    threading.Thread(target=accept, daemon=True).start()
    yield server.getsockname()[1], calls
    server.close()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["m3u8", "m4a", "mp4", "webm", "ffconcat", "mpd"])
def test_playlists_are_no_sound_and_call_nobody(suffix, listener, tmp_path, make_tone):
    port, calls = listener
    sound = tmp_path / "secret.m4a"
    sound.write_bytes(encoded(make_tone(1.0, 44_100), "ipod", "aac", 44_100))
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{sound}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {sound}\n",
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
    ):
        path = tmp_path / f"list.{suffix}"
        path.write_text(text)
        with pytest.raises(AudioError, match="is not sound in a known format"):
            read_waveform(path)
    time.sleep(0.05)
    assert not calls


@pytest.mark.slow
@pytest.mark.parametrize("demuxer", ["hls", "concat", "dash", "sdp", "image2"])
def test_the_child_itself_opens_no_second_file_even_if_told_to_read_a_playlist(demuxer, listener, tmp_path, make_tone):
    port, calls = listener
    sound = tmp_path / "secret.mp3"
    sound.write_bytes(encoded(make_tone(1.0, 44_100), "mp3", "libmp3lame", 44_100))
    texts = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.mp3\n#EXTINF:1,\nfile://{sound}\n",
        "concat": f"ffconcat version 1.0\nfile {sound}\n",
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
    }
    path = tmp_path / "list"
    path.write_text(texts.get(demuxer, str(sound)))
    with path.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-P", str(media._WORKER), demuxer, "65536", str(media.MEMORY_BYTES), "4"],
            stdin=file,
            capture_output=True,
        )
    assert not calls
    assert not done.stdout or done.stdout[:1] == b"!", "no header, so no sound"


@pytest.mark.slow
def test_the_child_can_open_nothing_at_all(make_tone, tmp_path, monkeypatch):
    """The kernel holds it, whatever a decoder is tricked into."""
    tried = (
        "    import socket\n"
        "    for act in (lambda: open('/etc/hostname'), socket.socket, lambda: os.fork() and None):\n"
        "        try: act()\n"
        "        except OSError as error: failed.append(error.errno)\n"
        "        if len(failed) == 2: raise Unusable(f'refused {failed}')\n"
        "    container = av.open("
    )
    worker = tmp_path / "worker.py"
    text = media._WORKER.read_text().replace("    container = av.open(", "    failed = []\n" + tried)
    worker.write_text(text.replace("import json\n", "import json, socket\n"))
    monkeypatch.setattr(media, "_WORKER", worker)
    with pytest.raises(AudioError, match=r"refused \[24, 24\]"):
        read_waveform(encoded(make_tone(1.0, 44_100), "ipod", "aac", 44_100))


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x20ftypM4A ", "M4A"), (b"\0\0\0\x20ftypisom", "MP4"), (b"\0\0\0\x20ftypqt  ", "QuickTime"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\1B\x82\x84webm", "WebM"), (b"#!AMR-WB\n", "AMR"), (b"RIFF\0\0\0\0AVI ", "AVI"),
        (b"\xff\xf1\x50\x80", "AAC"), (b"\xff\xfb\x90\x00", None), (b"RIFF\0\0\0\0WAVE", None), (b"ID3\3", None),
        (b"fLaC", None), (b"#EXTM3U", None), (b"", None), (b"G" + bytes(187) + b"G", "MPEG transport stream"),
    ],
)  # fmt: skip
def test_containers_are_known_by_how_they_begin(head, name):
    kind = media_kind(head)
    assert (kind and kind.name) == name


def test_the_worker_imports_nothing_of_thymos():
    text = media._WORKER.read_text()
    assert "import thymos" not in text and "from thymos" not in text
