"""How much the server bears: requests a second beside plain handlers of the same model, and live streams.

    python benchmarks/serve.py                      # beside FastAPI, and streams: some three minutes
    python benchmarks/serve.py --gradio PYTHON      # beside Gradio, too: an interpreter that has it and thymos
    python benchmarks/serve.py --streams 50 --only streams
    python benchmarks/serve.py --soak 3600          # half load for an hour: memory, files and threads at its ends

All of it runs on this machine, over its loopback, so clients take their share of the cores. Answers are counted once
they are there; one that is not 200 ends the run.
"""

import argparse
import asyncio
import functools
import io
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import websockets

from thymos.audio import read_waveform
from thymos.audio.conditioning import resample
from thymos.machine import this_machine

ROOT = Path(__file__).resolve().parents[1]
RATE_HZ = 16_000
PLAIN = """
import sys
import thymos, uvicorn
from fastapi import FastAPI, UploadFile
recognizer = thymos.load(threads=int(sys.argv[2]))
app = FastAPI()
@app.get("/readyz")
def ready(): return {}
@app.post("/v1/predict")
def predict(file: UploadFile): return recognizer.predict(file.file.read()).to_dict()
uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""
"""As one writes it: the model in the process, FastAPI's own pool of threads around it."""
GRADIO = """
import sys
import gradio, thymos
recognizer = thymos.load(threads=int(sys.argv[2]))
def predict(path): return recognizer.predict(path).to_dict()
page = gradio.Interface(predict, gradio.Audio(type="filepath"), gradio.JSON())
page.launch(server_port=int(sys.argv[1]), quiet=True)
"""
"""As one writes it: Gradio's own queue lets one request at a time to the function."""
Talk = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def speech(seconds: float) -> np.ndarray:
    """Speech of the mini corpus at 16 kHz: 16-bit samples, shape ``(samples,)``."""
    files = sorted((ROOT / "data" / "mini-aesdd").glob("*/*"))
    joined = np.concatenate([resample(read_waveform(path), RATE_HZ).samples for path in files[:12]])
    joined = np.resize(joined, round(seconds * RATE_HZ))
    return np.round(joined * 32_000).astype("<i2")


def posted(path: str, body: bytes, content_type: str) -> bytes:
    """A request with ``body``."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


@functools.cache
def clip() -> bytes:
    """A clip of 4 s as WAV."""
    wav = io.BytesIO()
    soundfile.write(wav, speech(4.0), RATE_HZ, format="WAV", subtype="PCM_16")
    return wav.getvalue()


NUMBERS = itertools.count()


def form(path: str, field: str) -> bytes:
    """A form with a clip, as browsers and curl send it; its last sample is another each time, since Gradio keeps
    uploads by their content and writes what is being read again."""
    head = f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="clip.wav"\r\n\r\n'
    sound = clip()[:-2] + (next(NUMBERS) % 65_536).to_bytes(2, "little")
    return posted(path, head.encode() + sound + b"\r\n--x--\r\n", "multipart/form-data; boundary=x")


@contextmanager
def started(command: list[str], port: int):
    """A server that answers ``/readyz``."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        asyncio.run(_ready(port))
        yield process
    finally:
        process.terminate()
        process.wait(20)


async def _ready(port: int) -> None:
    for _ in range(600):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        writer.write(f"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        if answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 404")):  # Gradio has no such page, and is there
            return
        await asyncio.sleep(0.1)
    raise SystemExit("the server does not answer")


async def _answer(talk: Talk, request: bytes) -> bytes:
    """Send ``request`` and return the body of its answer, which must be a good one."""
    reader, writer = talk
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if line)
    if b"content-length" in fields:
        body = await reader.readexactly(int(fields[b"content-length"]))
    else:
        body = await reader.readuntil(b"0\r\n\r\n")  # in chunks, the last of which is empty
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"{head.splitlines()[0]!r} {body!r}")
    return body


async def _ask(talk: Talk) -> None:
    await _answer(talk, form("/v1/predict", "file"))


async def _ask_gradio(talk: Talk) -> None:
    """Ask as Gradio's guide "Querying Gradio apps with curl" says: upload, call, await the call's event."""
    (path,) = json.loads(await _answer(talk, form("/gradio_api/upload", "files")))
    call = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
    said = await _answer(talk, posted("/gradio_api/call/predict", json.dumps(call).encode(), "application/json"))
    event = f"GET /gradio_api/call/predict/{json.loads(said)['event_id']} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    body = await _answer(talk, event.encode())
    if b"event: complete" not in body:
        raise SystemExit(repr(body))


async def _client(port: int, ask: Callable[[Talk], Awaitable[None]], until_s: float, took: list[float]) -> None:
    talk = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < until_s:
        began_s = time.monotonic()
        await ask(talk)
        took.append(time.monotonic() - began_s)
    talk[1].close()


def loaded(port: int, clients: int, seconds: float, ask: Callable[[Talk], Awaitable[None]] = _ask) -> dict[str, float]:
    """Requests a second of so many clients, each of which sends the next once it is answered; and their times."""

    async def run() -> list[float]:
        took: list[float] = []
        until_s = time.monotonic() + seconds
        await asyncio.gather(*(_client(port, ask, until_s, took) for _ in range(clients)))
        return took

    began_s = time.monotonic()
    took = sorted(asyncio.run(run()))
    elapsed_s = time.monotonic() - began_s
    told = {
        f"p{share}_ms": round(1000 * took[min(len(took) - 1, share * len(took) // 100)], 1) for share in (50, 95, 99)
    }
    return {"clients": clients, "requests_s": round(len(took) / elapsed_s, 1), **told}


async def _stream(port: int, samples: np.ndarray, hop_s: float, delay_s: float, late: list[float]) -> None:
    """One live stream in real time: how long after the last sample of a window its answer is there."""
    await asyncio.sleep(delay_s)
    piece_s = 0.1
    async with websockets.connect(f"ws://127.0.0.1:{port}/v1/stream", proxy=None) as line:
        await line.send(json.dumps({"type": "session.update", "session": {"rate": RATE_HZ, "hop": hop_s}}))
        await line.recv()
        began_s = time.monotonic()

        async def speak() -> None:
            size = round(piece_s * RATE_HZ)
            for number, at in enumerate(range(0, len(samples), size)):
                await asyncio.sleep(max(0.0, began_s + (number + 1) * piece_s - time.monotonic()))
                await line.send(samples[at : at + size].tobytes())
            await line.send(json.dumps({"type": "session.end"}))

        speaking = asyncio.create_task(speak())
        async for message in line:
            event = json.loads(message)
            if event["type"] == "error":
                raise SystemExit(event)
            # The VAD's last frame and the resampler lie a little behind; a piece is sent once it is spoken.
            if event["type"] == "measurement.result" and event["end_s"] < len(samples) / RATE_HZ - 0.5:
                late.append(time.monotonic() - began_s - event["end_s"])
        await speaking


def streamed(port: int, streams: int, seconds: float, hop_s: float = 0.5) -> dict[str, float]:
    """So many live streams at once: answers, and how late they are."""
    late: list[float] = []
    samples = speech(seconds)

    async def run() -> None:
        await asyncio.gather(*(_stream(port, samples, hop_s, 3 * n / streams, late) for n in range(streams)))

    asyncio.run(run())
    late.sort()
    told = {f"p{share}_ms": round(1000 * late[min(len(late) - 1, share * len(late) // 100)]) for share in (50, 95, 99)}
    return {"streams": streams, "answers": len(late), **told}


def held(pid: int) -> dict[str, float]:
    """Memory, open files and threads of a server and its workers."""
    pids, found = [pid], []
    while pids:
        each = pids.pop()
        found.append(each)
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            pids += [int(word) for word in task.read_text().split()]
    private = sum(
        int(line.split()[1])
        for each in found
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        if line.startswith("Pss:")
    )
    return {
        "processes": len(found),
        "memory_mb": round(private / 1000, 1),
        "files": sum(len(list(Path(f"/proc/{each}/fd").iterdir())) for each in found),
        "threads": sum(len(list(Path(f"/proc/{each}/task").iterdir())) for each in found),
    }


def soaked(port: int, pid: int, seconds: float) -> None:
    """Half load: a client that waits as long as it was answered, and ten live streams, again and again."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        loaded(port, 2, 5)
        streamed(port, 10, 10)
        print(json.dumps({"left_s": round(end_s - time.monotonic()), **held(pid)}), flush=True)
        time.sleep(5)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--only", choices=["requests", "streams"])
    words.add_argument("--seconds", type=float, default=15.0, help="of each load")
    words.add_argument("--streams", type=int, default=50)
    words.add_argument("--soak", type=float, metavar="SECONDS")
    words.add_argument("--gradio", metavar="PYTHON", help="measure a plain Gradio interface, too, by this interpreter")
    words.add_argument("--port", type=int, default=18450)
    asked = words.parse_args()
    machine = this_machine(["thymos", "onnxruntime", "starlette", "uvicorn", "fastapi"])
    print(json.dumps(machine))
    ours = [sys.executable, "-m", "thymos", "serve", "--port", str(asked.port), "--log", "off", "--queue", "256"]
    plain = [sys.executable, "-c", PLAIN, str(asked.port + 1), str(machine["cores"])]
    servers = [
        ("thymos serve", ours, asked.port, _ask),
        ("plain FastAPI", plain, asked.port + 1, _ask),
    ]
    if asked.gradio:
        gradio = [asked.gradio, "-c", GRADIO, str(asked.port + 2), str(machine["cores"])]
        servers.append(("plain Gradio", gradio, asked.port + 2, _ask_gradio))
    if asked.soak:
        with started(ours, asked.port) as server:
            print(json.dumps(held(server.pid)))
            soaked(asked.port, server.pid, asked.soak)
        return
    if asked.only != "streams":
        for clients in (1, 8, 64):
            for name, command, port, ask in servers:
                with started(command, port):
                    loaded(port, clients, 2.0, ask)  # all are warm
                    print(json.dumps({"server": name, **loaded(port, clients, asked.seconds, ask)}), flush=True)
    if asked.only != "requests":
        with started(ours, asked.port) as server:
            streamed(asked.port, 4, 5)
            print(json.dumps({**streamed(asked.port, asked.streams, max(20.0, asked.seconds)), **held(server.pid)}))


if __name__ == "__main__":
    main()
