"""Is the shipped recogniser faster with convolutions in 8 or 16 bits, and how far do its answers move?

    python benchmarks/quantised.py aesdd:PATH --out docs/results [--clips 40]

Makes two variants of the graph: convolutions in int8 (static, weights by channel, activations calibrated on other
clips), and in float16. All hear the same clips in turns, on one thread. Writes quantised.json and quantised.md. Labels
are those that the model was fitted to: how many clips are right says whether something breaks, not how good it is.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from thymos.audio import Samples, played, read_waveform
from thymos.cache import default_cache_dir
from thymos.corpora import Corpus, open_corpus
from thymos.errors import ThymosError
from thymos.files import write_json, write_text
from thymos.machine import this_machine
from thymos.runtime.bundle import GRAPH, INPUT, Bundle, find_bundle, open_session, read_bundle
from thymos.runtime.recognizer import Recognizer

CALIBRATED_ON = 20
"""Clips, none of which is among those that are heard."""
ROUNDS = 3
T = TypeVar("T")
SHIPPED = "as shipped, float32"


class _Calibration(CalibrationDataReader):
    def __init__(self, sounds: Sequence[Samples]):
        self._sounds: Iterator[Samples] = iter(sounds)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        sound = next(self._sounds, None)
        return None if sound is None else {INPUT: sound[None]}


def with_plain_weights(graph: Path, out: Path) -> Path:
    """Write ``graph`` with the weights that it keeps in 16 bits as float32, as the runtime unpacks them."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    return out


def in_int8(plain: Path, out: Path, calibration: Sequence[Samples]) -> Path:
    quantize_static(
        str(plain),
        str(out),
        _Calibration(calibration),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return out


def in_float16(plain: Path, out: Path) -> Path:
    """Write ``plain`` with float16 in the convolutions and nowhere else.

    onnxruntime's own converter takes what lies between the other nodes through float16, too, where power underflows.
    """
    model = onnx.load(plain)
    weights = {value.name: value for value in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Conv":
            nodes.append(node)
            continue
        sound, result = node.input[0], node.output[0]
        for name in node.input[1:]:
            halved = numpy_helper.to_array(weights[name])
            if halved.dtype == np.float32:
                weights[name].CopyFrom(numpy_helper.from_array(halved.astype(np.float16), name))
        node.input[0], node.output[0] = f"{result}_half_in", f"{result}_half_out"
        nodes += [
            helper.make_node("Cast", [sound], [node.input[0]], to=TensorProto.FLOAT16),
            node,
            helper.make_node("Cast", [node.output[0]], [result], to=TensorProto.FLOAT),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, out)
    return out


def chosen(corpus: Corpus, count: int) -> list[tuple[Path, str]]:
    """Return ``count`` clips and their emotions, as many of each, spread over the corpus."""
    found = []
    each = -(-count // len(corpus.emotions))
    for emotion in corpus.emotions:
        own = [corpus.root / clip.path for clip in corpus.clips if clip.emotion == emotion]
        if len(own) < each:
            raise ThymosError(f"{corpus.root} has only {len(own)} recordings of {emotion}, and {each} are needed")
        found += [(own[int(place)], emotion) for place in np.linspace(0, len(own) - 1, each)]
    # By turns, so that the first and the rest hold all emotions.
    return [found[first + each * emotion] for first in range(each) for emotion in range(len(corpus.emotions))][:count]


def answer(session: onnxruntime.InferenceSession, bundle: Bundle, sounds: Sequence[Samples]) -> NDArray[np.float64]:
    """Return the probabilities that the sounds of one clip, one for each speed, get together: shape ``(labels,)``."""
    logits = np.mean([session.run(["logits"], {INPUT: sound[None]})[0][0] for sound in sounds], axis=0)
    scaled = np.exp((logits - logits.max()).astype(np.float64) / bundle.about.temperature)
    return np.asarray(scaled / scaled.sum())


def _timed(work: Callable[[], T]) -> tuple[T, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - cpu


def measure(spec: str, count: int, cache_dir: Path) -> dict[str, Any]:
    machine = this_machine(("thymos", "numpy", "onnxruntime", "onnx"))
    bundle = read_bundle(find_bundle(None))
    about = bundle.about
    clips = chosen(open_corpus(spec, cache_dir=cache_dir), count + CALIBRATED_ON)
    sounds = [
        [played(waveform, speed, about.rate_hz) for speed in about.speeds]
        for waveform in (read_waveform(file) for file, _ in clips)
    ]
    heard, truth = sounds[CALIBRATED_ON:], [emotion for _, emotion in clips[CALIBRATED_ON:]]
    with tempfile.TemporaryDirectory() as folder:
        plain = with_plain_weights(bundle.folder / GRAPH, Path(folder, "plain.onnx"))
        calibration = [sound for own in sounds[:CALIBRATED_ON] for sound in own]
        graphs = {
            SHIPPED: bundle.folder / GRAPH,
            "int8 convolutions": in_int8(plain, Path(folder, "int8.onnx"), calibration),
            "float16 convolutions": in_float16(plain, Path(folder, "float16.onnx")),
        }
        sessions = {name: open_session(graph.read_bytes(), graph) for name, graph in graphs.items()}
        size_mb = {name: graph.stat().st_size / 1e6 for name, graph in graphs.items()}
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in sessions}
    answers: dict[str, list[NDArray[np.float64]]] = {name: [] for name in sessions}
    for session in sessions.values():
        answer(session, bundle, heard[0])  # does not count
    for number in range(ROUNDS):
        for own in heard:
            for name, session in sessions.items():
                found, wall_s, cpu_s = _timed(lambda session=session, own=own: answer(session, bundle, own))
                took[name].append((wall_s, cpu_s))
                if number == 0:
                    answers[name].append(found)
    recognizer = Recognizer(bundle, 1)
    files = [file for file, _ in clips[CALIBRATED_ON:]]
    recognizer.predict(files[0])
    _, _, whole_s = _timed(lambda: [recognizer.predict(file) for file in files])
    sound_s = sum(len(own[0]) for own in heard) / about.rate_hz
    shipped = np.array(answers[SHIPPED])
    rows = []
    for name in sessions:
        found = np.array(answers[name])
        wall_s, cpu_s = np.array(took[name]).reshape(ROUNDS, len(heard), 2).min(axis=0).sum(axis=0)
        rows.append(
            {
                "graph": name,
                "ms_for_a_second_cpu": 1000 * cpu_s / sound_s,
                "ms_for_a_second": 1000 * wall_s / sound_s,
                "size_mb": size_mb[name],
                "largest_move": float(np.abs(found - shipped).max()),
                "mean_move": float(np.abs(found - shipped).max(axis=1).mean()),
                "other_emotion": int((found.argmax(1) != shipped.argmax(1)).sum()),
                "right": sum(
                    about.labels[best] == emotion for best, emotion in zip(found.argmax(1), truth, strict=True)
                ),
            }
        )
    return {
        "command": f"python benchmarks/quantised.py aesdd:PATH --out docs/results --clips {count}",
        "machine": machine,
        "model": f"{about.name} {about.version}",
        "clips": len(heard),
        "sound_s": sound_s,
        "calibrated_on": CALIBRATED_ON,
        "rounds": ROUNDS,
        "whole_ms_cpu": 1000 * whole_s / sound_s,
        "rows": rows,
    }


def as_markdown(found: dict[str, Any]) -> str:
    machine = found["machine"]
    lines = [
        "# The shipped graph with convolutions in fewer bits\n",
        f"{found['clips']} clips, {found['sound_s']:.0f} s of sound, from samples to probabilities, one thread; "
        f"{machine['processor']}, onnxruntime {machine['versions']['onnxruntime']}, load {machine['load_average']}. "
        f"Times are for a second of sound, the best of {found['rounds']} turns of each clip. How far a clip moves is "
        "that of the probability which moves most. All clips were among those that the model was fitted to.\n",
        "| graph | ms, CPU | ms, clock | MB | clips move, mean | most | another emotion | right |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['graph']} | {row['ms_for_a_second_cpu']:.2f} | {row['ms_for_a_second']:.2f} | {row['size_mb']:.1f} | "
        f"{row['mean_move']:.4f} | {row['largest_move']:.4f} | {row['other_emotion']} | {row['right']} |"
        for row in found["rows"]
    ]
    whole_ms = found["whole_ms_cpu"]
    whole = f"From file to answer, `Recognizer.predict` with the shipped graph takes {whole_ms:.2f} ms of CPU time."
    return "\n".join([*lines, "", whole, "", f"`{found['command']}`", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--cache-dir", type=Path)
    args = parser.parse_args()
    try:
        found = measure(args.corpus, args.clips, args.cache_dir or default_cache_dir())
    except ThymosError as error:
        raise SystemExit(str(error)) from None
    write_json(args.out / "quantised.json", found)
    write_text(args.out / "quantised.md", as_markdown(found))
    print(as_markdown(found))


if __name__ == "__main__":
    main()
