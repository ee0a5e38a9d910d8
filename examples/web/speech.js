// Voice activity detection: where somebody speaks. As src/thymos/runtime/vad.py.

const FRAME = 512, CONTEXT = 64, AT_ONCE = 1024;
const STARTS = 0.5, GOES_ON = 0.35, SHORTEST = 6, FAINT_FRAMES = 16;
export const RATE_HZ = 16_000;
export const FRAME_S = FRAME / RATE_HZ;

// Samples at 16 kHz are fed in blocks of any size; `run` runs the graph, which takes frames in order and hands its state on.
export class Speech {
  constructor(run, starts = STARTS) {
    Object.assign(this, { run, starts, goesOn: starts * GOES_ON / STARTS, shortest: SHORTEST, frames: 0, loudest: 0 });
    this.probabilities = new Float32Array(1024);
    this.left = new Float32Array(0);
    this.context = new Float32Array(CONTEXT);
    this.hidden = this.cell = new Float32Array(128);
  }

  // Judge all whole frames up to the end of `samples`.
  async push(samples) {
    const all = new Float32Array(this.left.length + samples.length), whole = Math.floor(all.length / FRAME);
    all.set(this.left);
    all.set(samples, this.left.length);
    for (let first = 0; first < whole; first += AT_ONCE) await this.judge(all, first, Math.min(AT_ONCE, whole - first));
    this.left = all.slice(whole * FRAME);
  }

  // Judge what is left, filled up with silence.
  async finish() {
    if (this.left.length) await this.push(new Float32Array(FRAME - this.left.length));
  }

  async judge(samples, first, count) {
    const input = new Float32Array(count * (CONTEXT + FRAME));
    for (let i = 0; i < count; i += 1) {
      const from = (first + i) * FRAME, piece = samples.subarray(from, from + FRAME);
      input.set(this.context, i * (CONTEXT + FRAME));
      input.set(piece, i * (CONTEXT + FRAME) + CONTEXT);
      this.context = piece.slice(FRAME - CONTEXT);
      let power = 0;
      for (const value of piece) power += value * value;
      this.loudest = Math.max(this.loudest, Math.sqrt(power / FRAME));
    }
    const { said, hidden, cell } = await this.run(input, count, this.hidden, this.cell);
    Object.assign(this, { hidden, cell });
    if (this.frames + count > this.probabilities.length) {
      const before = this.probabilities;
      this.probabilities = new Float32Array(2 * (this.frames + count));
      this.probabilities.set(before);
    }
    this.probabilities.set(said, this.frames);
    this.frames += count;
  }

  get said() { return this.probabilities.subarray(0, this.frames); }
  get faint() { return this.shortest === 1; }
  get expectedS() { return this.said.reduce((sum, value) => sum + value, 0) * FRAME_S; }

  // Runs of speech, [first frame, frame after the last], counted from `start`.
  spans(start = 0, stop = this.frames) {
    const said = this.said.subarray(start, stop), starts = Math.fround(this.starts), goesOn = Math.fround(this.goesOn), spans = [];
    for (let at = 0; at < said.length; at += 1) {
      if (said[at] < goesOn) continue;
      const first = at;
      let best = 0;
      for (; at < said.length && said[at] >= goesOn; at += 1) best = Math.max(best, said[at]);
      if (best >= starts && at - first >= this.shortest) spans.push([first, at]);
    }
    return spans;
  }

  // Seconds of speech in the frames that lie within.
  seconds(startS, endS) {
    const first = Math.ceil(startS / FRAME_S - 1e-9), last = Math.floor(endS / FRAME_S + 1e-9);
    return this.spans(first, Math.max(first, last)).reduce((sum, [from, to]) => sum + to - from, 0) * FRAME_S;
  }

  // Something else than the VAD tells that somebody speaks: take the likeliest half second for it.
  takeFaint() {
    const said = [...this.said].sort((a, b) => b - a);
    this.starts = this.goesOn = said[Math.min(FAINT_FRAMES, said.length) - 1];
    this.shortest = 1;
  }
}
