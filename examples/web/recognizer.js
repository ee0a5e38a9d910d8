// The recogniser: waveform in, what is heard out. As src/thymos/runtime/listening.py and decision.py, of which it is a
// translation: the same windows, the same numbers, but without voices that are known.

import * as ort from "./ort/ort.wasm.min.mjs";
import { readNpy, readNpz } from "./arrays.js";
import { FRAME_S, judge } from "./speech.js";
import { MOMENT_S, makeTimeline, sharesOf } from "./timeline.js";

const WHOLE_S = 30, LEAST_SPEECH_S = 0.25, FAINT_S = 0.03, FAINT_REACH = 1.05;
const ENOUGH_SPEECH_S = 0.5, QUIET = 10 ** (-50 / 20), UNSURE_BELOW = 0.3, POOLED_S = 2;

ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
ort.env.wasm.numThreads = 1; // more need headers that no host of plain files sends
ort.env.logLevel = "error";

// NumPy's and Python's: halves go to the even neighbour.
export function halfEven(value) {
  const floor = Math.floor(value), rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}
const rounded = (value, digits) => Number(value.toFixed(digits));

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
  }

  // The row of `thymos predict --format jsonl --timeline` for samples at 16 kHz, full scale ±1, with its windows.
  async predict(samples, labels = null) {
    const rate = this.about.rate_hz, durationS = samples.length / rate, decide = this.decider(labels);
    const speech = await this.speechIn(samples), isLong = durationS > WHOLE_S;
    const whole = isLong ? null : await this.whole(samples, speech);
    const windows = [];
    for (const [start, stop] of this.windowsOf(samples.length)) {
      const startS = start / rate, endS = stop / rate, speechS = speech.seconds(startS, endS);
      const heard = speechS < LEAST_SPEECH_S ? null : await this.hear(samples.subarray(start, stop), momentsIn(endS - startS));
      windows.push({ startS, endS, speechS, heard, probabilities: heard && decide.shares(heard.logits) });
    }
    const spans = speech.spans(), frames = spans.reduce((sum, [from, to]) => sum + to - from, 0);
    const speechS = Math.min(frames * FRAME_S, durationS);
    let probabilities = null, unlike = false;
    if (isLong) [probabilities, unlike] = meanOf(windows);
    else if (whole) { probabilities = decide.shares(whole.logits); unlike = whole.unlike; }
    const stretches = makeTimeline(this.moments(windows, durationS, decide), spans, decide.labels, durationS);
    const shares = probabilities && sharesOf(stretches);
    return {
      emotion: probabilities && decide.labels[bestOf(probabilities)],
      probabilities: probabilities && decide.named(probabilities, 4),
      prediction_set: probabilities ? decide.set(probabilities) : [],
      speech_s: rounded(speechS, 3),
      duration_s: rounded(durationS, 3),
      flags: flagsOf(probabilities, speechS, durationS, speech, unlike),
      model: `${this.about.name} ${this.about.version}`,
      ...(shares ? { shares: Object.fromEntries(Object.entries(shares).map(([word, share]) => [word, rounded(share, 4)])) } : {}),
      ...(isLong ? { long: true } : {}),
      timeline: stretches.map((at) => ({ start_s: rounded(at.startS, 3), end_s: rounded(at.endS, 3), emotion: at.emotion, probability: at.probability === null ? null : rounded(at.probability, 4) })),
      windows: windows.map((window) => windowRow(window, decide)),
    };
  }

  // One window of a live stream.
  async window(samples, startS, labels = null) {
    const rate = this.about.rate_hz, decide = this.decider(labels), speech = await this.speechIn(samples);
    const speechS = speech.seconds(0, samples.length / rate), heard = speechS < LEAST_SPEECH_S ? null : await this.hear(samples);
    return windowRow({ startS, endS: startS + samples.length / rate, speechS, probabilities: heard && decide.shares(heard.logits) }, decide);
  }

  async whole(samples, speech) {
    if (speech.seconds(0, (speech.said.length + 1) * FRAME_S) >= LEAST_SPEECH_S) return this.hear(samples);
    if (speech.expectedS < FAINT_S) return null;
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

  async speechIn(samples) {
    return judge(samples, async (input, count, hidden, cell) => {
      const told = await this.vad.run({
        input: new ort.Tensor("float32", input, [count, input.length / count]),
        h: new ort.Tensor("float32", hidden, [1, 1, 128]), c: new ort.Tensor("float32", cell, [1, 1, 128]),
      }, ["speech_probs", "hn", "cn"]);
      return { said: told.speech_probs.data, hidden: told.hn.data, cell: told.cn.data };
    });
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

  decider(wanted) {
    const { labels: all, temperature, conformal } = this.about, places = (wanted ?? all).map((label) => all.indexOf(label)).sort((a, b) => a - b), labels = places.map((place) => all[place]);
    const order = (probabilities) => places.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a] || a - b);
    return {
      labels,
      shares(logits) {
        const scaled = places.map((place) => logits[place] / temperature), most = Math.max(...scaled), each = scaled.map((value) => Math.exp(value - most));
        const sum = each.reduce((total, value) => total + value, 0);
        return each.map((value) => value / sum);
      },
      named: (values, digits) => Object.fromEntries(labels.map((label, i) => [label, rounded(values[i], digits)])),
      set(probabilities) {
        const threshold = conformal?.threshold ?? Infinity;
        return order(probabilities).filter((i, place) => place === 0 || 1 - probabilities[i] <= threshold).map((i) => labels[i]);
      },
    };
  }

  // Probabilities of each moment of the recording; null where no window has speech.
  moments(windows, durationS, decide) {
    const count = Math.max(1, Math.ceil(durationS / MOMENT_S - 1e-9)), sums = Array.from({ length: count }, () => new Array(this.classes).fill(0)), heard = new Array(count).fill(0);
    for (const { startS, endS, heard: own } of windows) {
      if (own) own.moments.forEach((logits, i) => {
        const place = Math.min(count - 1, Math.floor((startS + (i + 0.5) * (endS - startS) / own.moments.length) / MOMENT_S));
        heard[place] += 1;
        logits.forEach((value, c) => { sums[place][c] += value; });
      });
    }
    return sums.map((row, place) => (heard[place] ? decide.shares(row.map((value) => value / heard[place])) : null));
  }
}

const bestOf = (probabilities) => probabilities.indexOf(Math.max(...probabilities));
const momentsIn = (seconds) => ({ number: Math.max(1, halfEven(seconds / MOMENT_S)), share: Math.min(1, POOLED_S / seconds) });

function windowRow({ startS, endS, speechS, probabilities }, decide) {
  const told = probabilities && decide.named(probabilities, 4);
  return { start_s: rounded(startS, 3), end_s: rounded(endS, 3), emotion: probabilities && decide.labels[bestOf(probabilities)], probabilities: told, speech_s: rounded(speechS, 3) };
}

// The mean of windows by their seconds of speech, and whether most of it is out of distribution.
function meanOf(windows) {
  const spoken = windows.filter((window) => window.probabilities), all = spoken.reduce((sum, { speechS }) => sum + speechS, 0);
  if (!spoken.length) return [null, false];
  const mean = spoken[0].probabilities.map((_, i) => spoken.reduce((sum, { speechS, probabilities }) => sum + speechS * probabilities[i], 0) / all);
  return [mean, spoken.reduce((sum, { speechS, heard }) => sum + speechS * heard.unlike, 0) > all / 2];
}

function flagsOf(probabilities, speechS, durationS, speech, unlike) {
  const heard = probabilities !== null;
  return Object.entries({
    too_short: (heard ? speechS : durationS) < ENOUGH_SPEECH_S, too_quiet: speech.loudest < QUIET, no_speech: !heard,
    faint_speech: heard && speech.faint, unsure: heard && Math.max(...probabilities) < UNSURE_BELOW, unfamiliar: unlike,
  }).filter(([, raised]) => raised).map(([name]) => name);
}
