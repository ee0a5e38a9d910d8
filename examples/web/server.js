// What the page asks of a server, answered in the browser: this module takes the place of the served page's own
// `server.js`, and has its face. Nothing is sent to anybody.

import { soundOf } from "./decoding.js";
import * as formats from "./formats.js";
import { LANGUAGES, word } from "./words.js";

LANGUAGES.en.privacy = "Everything happens in this browser. Recordings and the microphone's sound never leave this device; once the page is loaded, it asks nothing of any server.";
LANGUAGES.el.privacy = "Όλα γίνονται σε αυτόν τον περιηγητή. Οι ηχογραφήσεις και ο ήχος του μικροφώνου δεν φεύγουν ποτέ από τη συσκευή· αφού φορτωθεί, η σελίδα δεν ζητά τίποτα από κανέναν διακομιστή.";
Object.assign(LANGUAGES.en, { undecodable: "this browser cannot decode it", empty: "holds no samples" });
Object.assign(LANGUAGES.el, { undecodable: "ο περιηγητής δεν μπορεί να το αποκωδικοποιήσει", empty: "δεν περιέχει ήχο" });

// What the page offers, and this module does not: an explanation hears a recording some hundred times, and two voices are
// clustered.
export const CAN = { explain: false, speakers: false };
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
let broken = null;
worker.addEventListener("error", () => {
  broken = new Problem("the recogniser could not be started");
  for (const { failed } of waiting.values()) failed(broken);
  waiting.clear();
});

async function ask(method, values, handed = []) {
  if (broken) throw broken;
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

// What was heard of each recording, as long as the page has it: other labels are then decided on at once, and files to take
// along are written without hearing anew.
const memory = new WeakMap();

// The recordings, as the recogniser tells them, of the channels that are asked for, each with its channel or "mix".
function heardOf(blob, { channels, vad_threshold: threshold }) {
  const kept = memory.get(blob) ?? new Map(), key = (wanted) => `${wanted ?? "mix"} ${threshold ?? ""}`;
  memory.set(blob, kept);
  if (!kept.has(key(channels)) && Number(channels) && kept.has(key("split"))) return kept.get(key("split")).then((all) => all.filter(({ channel }) => channel === Number(channels)));
  if (!kept.has(key(channels))) {
    const hearing = hear(blob, channels, threshold ?? null);
    kept.set(key(channels), hearing);
    hearing.catch(() => kept.delete(key(channels)));
  }
  return kept.get(key(channels));
}

async function hear(blob, channels, threshold) {
  let sound;
  try { sound = await soundOf(blob); } catch { throw new Problem(word("undecodable")); }
  if (!sound.channels[0]?.length) throw new Problem(word("empty"));
  const many = sound.channels.length, wanted = channels === "split" ? (many > 1 ? sound.channels.map((_, place) => place + 1) : ["mix"]) : [Number(channels) || "mix"];
  const recordings = await ask("listen", [sound, wanted, threshold], sound.channels.map(({ buffer }) => buffer));
  return recordings.map((recording, place) => ({ channel: wanted[place], recording }));
}

const labelsOf = (choice) => choice.labels?.split(",") ?? null;

/** @returns {Promise<Row[]>} */
export async function predict(blob, choice, more = { timeline: true, windows: true }) {
  const rows = [];
  for (const { channel, recording } of await heardOf(blob, choice)) {
    const row = await ask("decide", [recording, labelsOf(choice), choice.shortest]);
    rows.push(channel === "mix" ? { file: "-", ...row } : { file: formats.channelName("-", channel), ...row, channel });
  }
  return rows;
}

const WRITERS = { "text/csv": formats.csv, "text/praat-textgrid": each(formats.textgrid), "application/x-subrip": each(formats.srt), "text/vtt": each(formats.vtt) };
function each(write) { return (rows) => rows.map(write).join(""); }

/** @returns {Promise<string>} */
export async function predictAs(blob, name, choice, mediaType, more = {}) {
  const labels = (await about).models[0].labels.filter((label) => labelsOf(choice)?.includes(label) ?? true);
  const rows = (await predict(blob, choice)).map((row) => ({ ...row, file: row.channel ? formats.channelName(name, row.channel) : name }));
  return WRITERS[mediaType](rows, labels);
}

// --- live ---

let lines = 0;

// As the server's stream: windows every hop, and beside each the emotion smoothed over the last seconds.
/** @returns {{send: (samples: Float32Array) => void, end: () => void}} */
export function stream(session, events, closed) {
  const line = (lines += 1), smooth = smoother(session.smoothing), opened = ask("openLine", [line, session]);
  const blocks = [];
  let busy = false, open = true;

  function end() {
    if (open) ask("endLine", [line]);
    open = false;
  }

  async function hear() {
    busy = true;
    try {
      await opened;
      while (open && blocks.length) {
        const row = await ask("feed", [line, joined(blocks.splice(0))]);
        if (row && open) events({ type: "measurement.result", ...row, smoothed: smooth(row) });
      }
    } catch (error) {
      events({ type: "error", error: { detail: error.message } });
      end();
      closed();
    }
    busy = false;
  }

  return { send(block) { blocks.push(block); if (open && !busy) hear(); }, end };
}

function joined(blocks) {
  const all = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0));
  let at = 0;
  for (const block of blocks) { all.set(block, at); at += block.length; }
  return all;
}

// As src/thymos/live/smoothing.py.
const PRESENT = 0.5, FIRST_S = 1.5;

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
    if ((spoken < PRESENT * all && row.speech_s < FIRST_S) || speechS <= 0) return { emotion: null, probabilities: null };
    const probabilities = Object.fromEntries(Object.entries(sums).map(([label, sum]) => [label, sum / speechS]));
    return { emotion: Object.keys(probabilities).reduce((best, label) => (probabilities[label] > probabilities[best] ? label : best)), probabilities };
  };
}
