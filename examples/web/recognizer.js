// The recogniser: waveform in, what is heard out. As src/thymos/runtime/listening.py, of which it is a translation: the same
// windows, the same numbers, but without voices that are known.

import * as ort from "./ort/ort.wasm.min.mjs";
import { readNpy, readNpz } from "./arrays.js";
import { Decider } from "./decision.js";
import { LiveLine } from "./live_line.js";
import { mixed } from "./mixing.js";
import { resampled } from "./resampler.js";
import { FRAME_S, Speech } from "./speech.js";
import { MOMENT_S } from "./timeline.js";

const WHOLE_S = 30, LEAST_SPEECH_S = 0.25, FAINT_S = 0.03, FAINT_REACH = 1.05, POOLED_S = 2;

ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
ort.env.wasm.numThreads = 1; // more need headers that no host of plain files sends
ort.env.logLevel = "error";

// NumPy's and Python's: halves go to the even neighbour.
function halfEven(value) {
  const floor = Math.floor(value), rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

async function bytesOf(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address} is not there: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

export async function openRecognizer(folder, vadGraph) {
  const names = ["encoder.onnx", "encoder.safetensors", "head.npz", "familiarity.npy", "model.json"];
  const [graph, weights, head, familiarity, about, vad] = await Promise.all([...names.map((name) => bytesOf(new URL(name, folder))), bytesOf(vadGraph)]);
  const options = { executionProviders: ["wasm"], enableMemPattern: false };
  return new Recognizer(
    JSON.parse(new TextDecoder().decode(about)), readNpz(head), readNpy(familiarity),
    await ort.InferenceSession.create(graph, { ...options, externalData: [{ path: "encoder.safetensors", data: weights }] }),
    await ort.InferenceSession.create(vad, options),
  );
}

class Recognizer {
  constructor(about, head, familiarity, encoder, vad) {
    Object.assign(this, { about, encoder, vad, familiarity });
    this.weights = head.weights.values;
    this.bias = head.bias.values;
    this.classes = about.labels.length;
    this.lines = new Map();
  }

  // What takes long: all that decisions on channels of a sound are made from; each of them "mix" or a number from 1.
  async listen(sound, channels, vadThreshold) {
    const recordings = [];
    for (const channel of channels) recordings.push(await this.recording(sound, channel, vadThreshold));
    return recordings;
  }

  async recording(sound, channel, vadThreshold) {
    const rate = this.about.rate_hz, { samples: own, remarks } = mixed(sound, channel), samples = resampled(own, sound.rate, rate);
    const durationS = samples.length / rate, isLong = durationS > WHOLE_S, speech = this.newSpeech(vadThreshold);
    await speech.push(samples);
    await speech.finish();
    const whole = isLong ? null : await this.whole(samples, speech, vadThreshold !== null);
    const windows = [];
    for (const [start, stop] of this.windowsOf(samples.length)) {
      const startS = start / rate, endS = stop / rate;
      windows.push(await this.window({ startS, endS, speechS: speech.seconds(startS, endS), samples: samples.subarray(start, stop) }, momentsIn(endS - startS)));
    }
    const spans = speech.spans(), frames = spans.reduce((sum, [from, to]) => sum + to - from, 0);
    return { durationS, speechS: Math.min(frames * FRAME_S, durationS), spans, loudest: speech.loudest, whole, isLong, windows, remarks, faint: speech.faint };
  }

  // What takes no time: the row of `thymos predict --format jsonl --timeline`, with its windows.
  decide(recording, labels, shortestS) {
    return new Decider(this.about, labels).row(recording, shortestS ?? undefined);
  }

  // A live stream begins, is fed, and ends; feeding it tells the latest window, if another is over.
  openLine(line, session) { this.lines.set(line, new LiveLine(this, session)); }
  feed(line, block) { return this.lines.get(line).feed(block); }
  endLine(line) { this.lines.delete(line); }

  newSpeech(vadThreshold) {
    return new Speech(async (input, count, hidden, cell) => {
      const told = await this.vad.run({
        input: new ort.Tensor("float32", input, [count, input.length / count]),
        h: new ort.Tensor("float32", hidden, [1, 1, 128]), c: new ort.Tensor("float32", cell, [1, 1, 128]),
      }, ["speech_probs", "hn", "cn"]);
      return { said: told.speech_probs.data, hidden: told.hn.data, cell: told.cn.data };
    }, vadThreshold ?? undefined);
  }

  async window({ samples, ...window }, moments = null) {
    return { ...window, heard: window.speechS < LEAST_SPEECH_S ? null : await this.hear(samples, moments) };
  }

  async whole(samples, speech, isTuned) {
    if (speech.seconds(0, (speech.frames + 1) * FRAME_S) >= LEAST_SPEECH_S) return this.hear(samples);
    if (isTuned || speech.expectedS < FAINT_S) return null;
    const heard = await this.hear(samples);
    if (heard.distance > FAINT_REACH * this.about.familiarity.threshold) return null;
    speech.takeFaint();
    return heard;
  }

  // [start, stop] in samples: all but the last of one length; the last one holds what no other has.
  windowsOf(length) {
    const [window, hop] = [this.about.window_s, this.about.hop_s].map((seconds) => Math.max(1, halfEven(seconds * this.about.rate_hz)));
    const windows = [];
    let next = 0;
    for (; next + window <= length; next += hop) windows.push([next, next + window]);
    if (length > (next ? next - hop + window : 0)) windows.push([next, length]);
    return windows;
  }

  async hear(samples, moments = null) {
    const fetched = ["description", "embedding", ...(moments ? ["frame_states"] : [])];
    const told = await this.encoder.run({ waveform: new ort.Tensor("float32", samples, [1, samples.length]) }, fetched);
    const logits = this.logits(told.description.data), distance = this.distance(told.embedding.data), spoken = [];
    if (moments) for (const part of this.parts(told.frame_states, moments)) spoken.push(this.logits(part).map((value) => halfEven(value * 1000) / 1000));
    for (const tensor of Object.values(told)) tensor.dispose();
    return { logits, distance, unlike: distance > this.about.familiarity.threshold, moments: spoken };
  }

  logits(description) {
    const logits = Array.from(this.bias);
    for (let row = 0; row < description.length; row += 1) for (let c = 0; c < this.classes; c += 1) logits[c] += description[row] * this.weights[row * this.classes + c];
    return logits;
  }

  // Descriptions of parts of the frames, layer by layer mean and deviation: as src/thymos/runtime/hearing.py.
  parts(states, { number, share }) {
    const [, frames, columns] = states.dims, values = states.data, layers = this.about.layers.length, width = columns / layers;
    const sums = new Float64Array((frames + 1) * columns), squares = new Float64Array((frames + 1) * columns);
    for (let at = 0; at < frames * columns; at += 1) {
      sums[at + columns] = sums[at] + values[at];
      squares[at + columns] = squares[at] + values[at] ** 2;
    }
    const length = Math.min(frames, Math.max(1, halfEven(frames * share)));
    return Array.from({ length: number }, (_, each) => {
      const first = Math.min(frames - length, Math.max(0, halfEven((each + 0.5) * frames / number - length / 2)));
      const description = new Float64Array(2 * columns);
      for (let layer = 0; layer < layers; layer += 1) for (let i = 0; i < width; i += 1) {
        const column = layer * width + i, from = first * columns + column, to = (first + length) * columns + column;
        const mean = (sums[to] - sums[from]) / length, square = (squares[to] - squares[from]) / length;
        description[2 * layer * width + i] = mean;
        description[(2 * layer + 1) * width + i] = Math.sqrt(Math.max(0, square - mean ** 2));
      }
      return description;
    });
  }

  // How far an embedding is from those of the training recordings: as src/thymos/runtime/out_of_distribution.py.
  distance(embedding) {
    const { shape: [rows, length], values } = this.familiarity, apart = Array.from(embedding, (value, i) => value - values[i]);
    let rest = apart.reduce((sum, value) => sum + value ** 2, 0), squared = 0;
    for (let row = 2; row < rows; row += 1) {
      let along = 0, precision = 0;
      for (let i = 0; i < length; i += 1) { const own = values[row * length + i]; along += apart[i] * own; precision += own ** 2; }
      squared += along ** 2;
      rest -= along ** 2 / precision;
    }
    return Math.sqrt((squared + Math.max(0, rest) * values[length] ** 2) / length);
  }
}

const momentsIn = (seconds) => ({ number: Math.max(1, halfEven(seconds / MOMENT_S)), share: Math.min(1, POOLED_S / seconds) });
