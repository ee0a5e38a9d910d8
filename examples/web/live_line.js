// One live stream on its way in, as src/thymos/runtime/windows.py cuts it: judged by the VAD as it arrives, and heard in windows
// on a grid that is counted from its first sample. A silence before anybody speaks is left out of a window: it would be heard as
// a part of how something is said. What is shorter than a window is no answer: the page's windows are as short as first ones are.

import { Decider } from "./decision.js";
import { Resampler } from "./resampler.js";
import { FRAME_S } from "./speech.js";

const SILENCE_S = 0.5;

export class LiveLine {
  constructor(recognizer, { rate, window, hop, labels, vad_threshold: vadThreshold }) {
    this.rate = recognizer.about.rate_hz;
    Object.assign(this, { recognizer, window: Math.round(window * this.rate), hop: Math.round(hop * this.rate) });
    this.decider = new Decider(recognizer.about, labels ?? null);
    this.resampler = new Resampler(rate, this.rate);
    this.speech = recognizer.newSpeech(vadThreshold ?? null);
    this.kept = new Float32Array(0);
    this.passed = this.next = 0; // samples that came in, and where the next window begins
  }

  // The latest window that is over with `block`, or null. Where this machine is slower than the sound, blocks are long, and
  // windows before the latest are left out, so that what is told is of now.
  async feed(block) {
    const fresh = this.resampler.push(block), all = new Float32Array(this.kept.length + fresh.length);
    all.set(this.kept);
    all.set(fresh, this.kept.length);
    this.passed += fresh.length;
    await this.speech.push(fresh);
    const judged = Math.min(this.passed, (this.speech.frames + 1) * FRAME_S * this.rate - 1), from = this.passed - all.length;
    const over = Math.floor((judged - this.window - this.next) / this.hop);
    let told = null;
    if (over >= 0) {
      const start = this.next + over * this.hop, end = start + this.window, begins = this.begins(start, end);
      this.next = start + this.hop;
      const startS = begins / this.rate, endS = end / this.rate;
      told = this.decider.window(await this.recognizer.window({ startS, endS, speechS: this.speech.seconds(startS, endS), samples: all.slice(begins - from, end - from) }));
    }
    this.kept = all.slice(Math.max(0, this.next - from)); // what no window will need is let go
    return told;
  }

  // Where a window begins: with speech, after a silence.
  begins(start, stop) {
    const first = Math.ceil(start / this.rate / FRAME_S - 1e-9), last = Math.floor(stop / this.rate / FRAME_S + 1e-9);
    const [span] = this.speech.spans(first, Math.max(first, last));
    const onset = span ? Math.round((first + span[0]) * FRAME_S * this.rate) : start;
    return onset - start >= Math.round(SILENCE_S * this.rate) ? onset : start;
  }
}
