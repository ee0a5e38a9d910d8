// Decide what was heard: which emotion of those asked for, how sure, and from when to when. As src/thymos/runtime/decision.py.

import { MOMENT_S, makeTimeline, sharesOf } from "./timeline.js";

const ENOUGH_SPEECH_S = 0.5, QUIET = 10 ** (-50 / 20), UNSURE_BELOW = 0.3;

const rounded = (value, digits) => Number(value.toFixed(digits));
const bestOf = (probabilities) => probabilities.indexOf(Math.max(...probabilities));

export class Decider {
  // `labels`: of the model's, in any order; null: all.
  constructor(about, labels) {
    this.about = about;
    this.places = about.labels.map((_, place) => place).filter((place) => labels === null || labels.includes(about.labels[place]));
    this.labels = this.places.map((place) => about.labels[place]);
  }

  // What JSON lines say of a recording that was heard, with its timeline and its windows.
  row({ durationS, speechS, spans, loudest, whole, isLong, windows: heard, remarks, faint }, shortestS) {
    const windows = heard.map((window) => ({ ...window, probabilities: window.heard && this.shares(window.heard.logits) }));
    const [probabilities, unlike] = isLong ? meanOf(windows) : whole ? [this.shares(whole.logits), whole.unlike] : [null, false];
    const stretches = makeTimeline(this.moments(heard, durationS), spans, this.labels, durationS, shortestS);
    const shares = probabilities && sharesOf(stretches);
    return {
      emotion: probabilities && this.labels[bestOf(probabilities)],
      probabilities: probabilities && this.named(probabilities),
      prediction_set: probabilities ? this.set(probabilities) : [],
      speech_s: rounded(speechS, 3),
      duration_s: rounded(durationS, 3),
      flags: [...flagsOf({ probabilities, speechS, durationS, loudest, faint, unlike }), ...remarks],
      model: `${this.about.name} ${this.about.version}`,
      ...(shares ? { shares: Object.fromEntries(Object.entries(shares).map(([word, share]) => [word, rounded(share, 4)])) } : {}),
      ...(isLong ? { long: true } : {}),
      timeline: stretches.map((at) => ({ start_s: rounded(at.startS, 3), end_s: rounded(at.endS, 3), emotion: at.emotion, probability: at.probability === null ? null : rounded(at.probability, 4) })),
      windows: heard.map((window) => this.window(window)),
    };
  }

  window({ startS, endS, speechS, heard }) {
    const probabilities = heard && this.shares(heard.logits);
    return {
      start_s: rounded(startS, 3), end_s: rounded(endS, 3), emotion: probabilities && this.labels[bestOf(probabilities)],
      probabilities: probabilities && this.named(probabilities), speech_s: rounded(speechS, 3),
    };
  }

  shares(logits) {
    const scaled = this.places.map((place) => logits[place] / this.about.temperature), most = Math.max(...scaled), each = scaled.map((value) => Math.exp(value - most));
    const sum = each.reduce((total, value) => total + value, 0);
    return each.map((value) => value / sum);
  }

  named(probabilities) { return Object.fromEntries(this.labels.map((label, i) => [label, rounded(probabilities[i], 4)])); }

  // The prediction set: never empty; without a threshold, every emotion.
  set(probabilities) {
    const threshold = this.about.conformal?.threshold ?? Infinity, order = this.labels.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a] || a - b);
    return order.filter((i, place) => place === 0 || 1 - probabilities[i] <= threshold).map((i) => this.labels[i]);
  }

  // Probabilities of each moment of the recording; null where no window has speech.
  moments(windows, durationS) {
    const count = Math.max(1, Math.ceil(durationS / MOMENT_S - 1e-9)), classes = this.about.labels.length;
    const sums = Array.from({ length: count }, () => new Array(classes).fill(0)), heard = new Array(count).fill(0);
    for (const { startS, endS, heard: own } of windows) {
      if (own) own.moments.forEach((logits, i) => {
        const place = Math.min(count - 1, Math.floor((startS + (i + 0.5) * (endS - startS) / own.moments.length) / MOMENT_S));
        heard[place] += 1;
        logits.forEach((value, c) => { sums[place][c] += value; });
      });
    }
    return sums.map((row, place) => (heard[place] ? this.shares(row.map((value) => value / heard[place])) : null));
  }
}

// The mean of windows by their seconds of speech, and whether most of it is out of distribution.
function meanOf(windows) {
  const spoken = windows.filter((window) => window.probabilities), all = spoken.reduce((sum, { speechS }) => sum + speechS, 0);
  if (!spoken.length) return [null, false];
  const mean = spoken[0].probabilities.map((_, i) => spoken.reduce((sum, { speechS, probabilities }) => sum + speechS * probabilities[i], 0) / all);
  return [mean, spoken.reduce((sum, { speechS, heard }) => sum + speechS * heard.unlike, 0) > all / 2];
}

function flagsOf({ probabilities, speechS, durationS, loudest, faint, unlike }) {
  const heard = probabilities !== null;
  return Object.entries({
    too_short: (heard ? speechS : durationS) < ENOUGH_SPEECH_S, too_quiet: loudest < QUIET, no_speech: !heard,
    faint_speech: heard && faint, unsure: heard && Math.max(...probabilities) < UNSURE_BELOW, unfamiliar: unlike,
  }).filter(([, raised]) => raised).map(([name]) => name);
}
