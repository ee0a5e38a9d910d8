"""The static page measured in Chromium: how soon it is ready, how fast it hears, how far from Python its answers are.

    python benchmarks/static_page.py build/web FOLDER_OF_RECORDINGS --out benchmarks/results/static_page.json

Python hears each recording by the page's own model (`float32`) and by the shipped one, which rounds to 8 bits.
"""

import argparse
import base64
import functools
import http.server
import json
import shutil
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import thymos
from thymos.files import write_json

HEAR = """async (content) => {
    const { predict } = await import("./page/server.js");
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0)), began = performance.now();
    const blob = new Blob([bytes]), [row] = await predict(blob, { labels: null }), heard = performance.now();
    await predict(blob, { labels: "anger,sadness" });
    return [row, (heard - began) / 1000, performance.now() - heard];
}"""


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--most", type=int, default=60, help="recordings, evenly spread over the folder's names")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    found = sorted(path for path in given.recordings.rglob("*") if path.suffix in (".wav", ".opus", ".flac", ".mp3"))
    chosen = found[:: max(1, len(found) // given.most)][: given.most]
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(given.page))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as driver:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        page = browser.new_page()
        page.set_default_timeout(600_000)  # a busy machine is slow, and tells so
        began = time.perf_counter()
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        page.wait_for_selector("html[data-ready]")
        ready_s = time.perf_counter() - began
        said = [page.evaluate(HEAR, base64.b64encode(path.read_bytes()).decode()) for path in chosen]
        version = browser.version
        browser.close()
        server.shutdown()
    files = [path for path in given.page.rglob("*") if path.is_file() and path.parent.name != "licences"]
    told = {
        "browser": f"Chromium {version}",
        "ready_s": round(ready_s, 2),
        "page_mb": round(sum(path.stat().st_size for path in files) / 1e6, 1),
        "recordings": len(chosen),
        "sound_s": round(sum(row["duration_s"] for row, *_ in said), 1),
        "hearing_s": round(sum(seconds for _, seconds, _ in said), 1),
        "other_labels_ms": round(statistics.median(again_ms for *_, again_ms in said), 1),
        "float32": differences(said, thymos.load(given.page / "model"), chosen),
        "shipped": differences(said, thymos.load(), chosen),
    }
    told["times_as_fast_as_sound"] = round(told["sound_s"] / told["hearing_s"], 1)
    write_json(given.out, told)
    print(json.dumps(told, indent=2))


def differences(said: list[Any], recognizer: thymos.Recognizer, chosen: list[Path]) -> dict[str, float]:
    """Of the page's probabilities from Python's."""
    largest, same = [], 0
    for (row, *_), path in zip(said, chosen, strict=True):
        heard = recognizer.predict(path)
        same += row["emotion"] == heard.emotion
        pairs = zip(row["probabilities"] or {}, (row["probabilities"] or {}).values(), strict=True)
        largest.append(max((abs(value - (heard.probabilities or {}).get(word, 0)) for word, value in pairs), default=0))
    return {
        "largest_difference": round(max(largest), 4),
        "mean_of_largest": round(sum(largest) / len(largest), 4),
        "same_emotion": round(same / len(chosen), 4),
    }


if __name__ == "__main__":
    main()
