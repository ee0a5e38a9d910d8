"""Steer a stage by emotion: what is heard now goes out as OSC messages.

    python examples/live_osc.py 127.0.0.1 9000                # from the microphone (pip install 'thymos[live]')
    python examples/live_osc.py 127.0.0.1 9000 rehearsal.wav  # a recording, as if it were spoken now

`thymos listen --osc HOST:PORT` does the same and more; this is where to start a program of your own.
"""

import sys
import time
from collections.abc import Iterator

import numpy as np
import soundfile
from pythonosc.udp_client import SimpleUDPClient

import thymos
from thymos.live.osc import messages  # the addresses, which `thymos listen --help` lists
from thymos.live.smoothing import Holder, Smoother

HOP_S, HOLD_S = 0.5, 2.0


def spoken_now(path: str) -> tuple[int, Iterator[np.ndarray]]:
    """Return a recording's rate, and its blocks as a microphone would give them."""
    sound = soundfile.SoundFile(path)

    def blocks() -> Iterator[np.ndarray]:
        for block in sound.blocks(sound.samplerate // 10, dtype="float32"):
            time.sleep(len(block) / sound.samplerate)
            yield block

    return sound.samplerate, blocks()


def microphone(rate_hz: int = 16_000) -> tuple[int, Iterator[np.ndarray]]:
    """Return the rate and the endless blocks of the system's microphone."""
    import sounddevice

    def blocks() -> Iterator[np.ndarray]:
        with sounddevice.InputStream(rate_hz, channels=1, dtype="float32") as device:
            while True:
                yield device.read(rate_hz // 10)[0]

    return rate_hz, blocks()


def main(host: str, port: str, path: str | None = None) -> None:
    """Listen until the recording, or the patience of who listens, ends."""
    osc = SimpleUDPClient(host, int(port))
    rate_hz, blocks = spoken_now(path) if path else microphone()
    recognizer = thymos.load()
    stream, smoother, holder = recognizer.stream(rate_hz, hop_s=HOP_S), Smoother(recognizer.labels), Holder(HOLD_S)
    for block in blocks:
        for window in stream.feed(block):
            heard = holder.take(smoother.take(window))
            for address, values in messages(heard, recognizer.labels):
                osc.send_message(address, values)
            print(f"{window.end_s:6.1f} s  {heard.smoothed_emotion or 'none heard'}", flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
