// What the page asks of a server, answered in the browser: this module takes the place of the served page's own
// `server.js`, and has its face. Nothing is sent to anybody.

import { RATE_HZ, samplesOf } from "./decoding.js";
import * as formats from "./formats.js";
import { Resampler } from "./resampler.js";
import { LANGUAGES } from "./words.js";

const PRESENT = 0.5;

LANGUAGES.en.privacy = "Everything happens in this browser. Recordings and the microphone's sound never leave this device; once the page is loaded, it asks nothing of any server.";
LANGUAGES.el.privacy = "Όλα γίνονται σε αυτόν τον περιηγητή. Οι ηχογραφήσεις και ο ήχος του μικροφώνου δεν φεύγουν ποτέ από τη συσκευή· αφού φορτωθεί, η σελίδα δεν ζητά τίποτα από κανέναν διακομιστή.";

export class Problem extends Error {}
/** @returns {void} nothing here asks for one */
export const whenTokenIsNeeded = (ask) => {};

// --- the recogniser, in a worker of its own ---

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const waiting = new Map();
let asked = 0;

worker.addEventListener("message", ({ data: { id, answer, problem } }) => {
  const { done, failed } = waiting.get(id);
  waiting.delete(id);
  if (problem === undefined) done(answer); else failed(new Problem(problem));
});
worker.addEventListener("error", () => { for (const { failed } of waiting.values()) failed(new Problem("the recogniser could not be started")); waiting.clear(); });

function ask(method, values, handed = []) {
  const id = (asked += 1);
  return new Promise((done, failed) => { waiting.set(id, { done, failed }); worker.postMessage({ id, method, values }, handed); });
}

const about = fetch(new URL("../models.json", import.meta.url)).then((answer) => answer.json());

/** @returns {Promise<Model[]>} */
export async function models() {
  await ask("opened", []);
  return (await about).models;
}

// --- recordings ---

async function decoded(blob) {
  let samples;
  try { samples = await samplesOf(blob); } catch { throw new Problem("this browser cannot decode it"); }
  if (!samples.length) throw new Problem("holds no samples");
  return samples;
}

const labelsOf = (choice) => choice.labels?.split(",") ?? null;

/** @returns {Promise<Row[]>} */
export async function predict(blob, choice, more = { timeline: true, windows: true }) {
  const samples = await decoded(blob);
  return [await ask("predict", [samples, labelsOf(choice)], [samples.buffer])];
}

const WRITERS = { "text/csv": "csv", "text/praat-textgrid": "textgrid", "application/x-subrip": "srt", "text/vtt": "vtt" };

/** @returns {Promise<string>} */
export async function predictAs(blob, name, choice, mediaType, more = {}) {
  const labels = labelsOf(choice) ?? (await about).models[0].labels, [row] = await predict(blob, choice);
  return formats[WRITERS[mediaType]]({ file: name, ...row }, labels);
}

// --- live ---

// As the server's stream: windows every hop, and beside each the emotion smoothed over the last seconds. Where this
// machine is slower than the sound, hops are left out, so that what is told is of now.
/** @returns {{send: (samples: Float32Array) => void, end: () => void}} */
export function stream(session, events, closed) {
  const { rate, window: windowS, hop: hopS, smoothing, labels } = session;
  const resampler = new Resampler(rate, RATE_HZ), window = Math.round(windowS * RATE_HZ), hop = Math.round(hopS * RATE_HZ), smooth = smoother(smoothing);
  let kept = new Float32Array(0), passed = 0, next = window, busy = false, open = true;

  async function hear() {
    if (busy || !open || passed < next) return;
    busy = true;
    const late = Math.floor((passed - next) / hop), end = next + late * hop, start = end - window;
    next = end + hop;
    const from = start - (passed - kept.length);
    try {
      const row = await ask("window", [kept.slice(from, from + window), start / RATE_HZ, labels ?? null]);
      if (open) events({ type: "measurement.result", ...row, smoothed: smooth(row) });
    } catch (error) {
      if (open) events({ type: "error", error: { detail: error.message } });
    }
    busy = false;
    hear();
  }

  return {
    send(block) {
      const fresh = resampler.push(block), all = new Float32Array(kept.length + fresh.length);
      all.set(kept);
      all.set(fresh, kept.length);
      passed += fresh.length;
      // What no window will need is let go: those to come begin no earlier than the next one, or this moment's.
      kept = all.slice(Math.max(0, all.length - Math.max(2 * window, passed - next + window)));
      hear();
    },
    end() { open = false; },
  };
}

// As src/thymos/live/smoothing.py.
function smoother(constantS) {
  let endS = 0, all = 0, spoken = 0, speechS = 0, sums = {};
  return (row) => {
    const stays = Math.exp(-(row.end_s - endS) / constantS), fresh = 1 - stays, heard = row.probabilities;
    endS = row.end_s;
    all = stays * all + fresh;
    spoken = stays * spoken + (heard ? fresh : 0);
    speechS *= stays;
    for (const label of Object.keys(sums)) sums[label] *= stays;
    if (heard) {
      speechS += fresh * row.speech_s;
      for (const [label, p] of Object.entries(heard)) sums[label] = (sums[label] ?? 0) + fresh * row.speech_s * p;
    }
    if (spoken < PRESENT * all || speechS <= 0) return { emotion: null, probabilities: null };
    const probabilities = Object.fromEntries(Object.entries(sums).map(([label, sum]) => [label, sum / speechS]));
    return { emotion: Object.keys(probabilities).reduce((best, label) => (probabilities[label] > probabilities[best] ? label : best)), probabilities };
  };
}
