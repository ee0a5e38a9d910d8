// Voice activity detection: where somebody speaks. As src/thymos/runtime/vad.py.

const FRAME = 512, CONTEXT = 64, AT_ONCE = 1024;
const STARTS = 0.5, GOES_ON = 0.35, SHORTEST = 6, FAINT_FRAMES = 16;
export const FRAME_S = FRAME / 16_000;

// Judge samples at 16 kHz; `run` runs the graph, which takes frames in order and hands its state on.
export async function judge(samples, run) {
  const frames = Math.ceil(samples.length / FRAME), said = new Float32Array(frames);
  let hidden = new Float32Array(128), cell = new Float32Array(128), loudest = 0;
  for (let first = 0; first < frames; first += AT_ONCE) {
    const count = Math.min(AT_ONCE, frames - first), input = new Float32Array(count * (CONTEXT + FRAME));
    for (let i = 0; i < count; i += 1) {
      const from = (first + i) * FRAME, piece = samples.subarray(from, from + FRAME);
      if (from) input.set(samples.subarray(from - CONTEXT, from), i * (CONTEXT + FRAME));
      input.set(piece, i * (CONTEXT + FRAME) + CONTEXT);
      let power = 0;
      for (const value of piece) power += value * value;
      loudest = Math.max(loudest, Math.sqrt(power / FRAME));
    }
    const told = await run(input, count, hidden, cell);
    said.set(told.said, first);
    ({ hidden, cell } = told);
  }
  return new Speech(said, loudest);
}

class Speech {
  constructor(said, loudest) {
    Object.assign(this, { said, loudest, starts: Math.fround(STARTS), goesOn: Math.fround(GOES_ON), shortest: SHORTEST });
  }

  get faint() { return this.shortest === 1; }
  get expectedS() { return this.said.reduce((sum, value) => sum + value, 0) * FRAME_S; }

  // Runs of speech, [first frame, frame after the last], counted from `start`.
  spans(start = 0, stop = this.said.length) {
    const said = this.said.subarray(start, stop), spans = [];
    for (let at = 0; at < said.length; at += 1) {
      if (said[at] < this.goesOn) continue;
      const first = at;
      let best = 0;
      for (; at < said.length && said[at] >= this.goesOn; at += 1) best = Math.max(best, said[at]);
      if (best >= this.starts && at - first >= this.shortest) spans.push([first, at]);
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
