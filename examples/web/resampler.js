// Sound at another rate, all at once or as it arrives: a sinc under a Kaiser window, with the pass band and the stop band
// of soxr's quality HQ, by which Python resamples. Rates are whole numbers of Hz.
// Source: Oppenheim & Schafer, Discrete-Time Signal Processing, on Kaiser's window: its length by the transition band.

const PASSES = 0.913, STOPS_DB = 125; // of half the lower rate
const BETA = 0.1102 * (STOPS_DB - 8.7), CUT = (PASSES + 1) / 2;
const HALF = Math.ceil((STOPS_DB - 7.95) / (2.285 * Math.PI * (1 - PASSES)) / 2); // samples at the lower rate

const common = (a, b) => (b ? common(b, a % b) : a);
const bessel = (x) => { let sum = 1, term = 1; for (let k = 1; k < 60; k += 1) { term *= (x / (2 * k)) ** 2; sum += term; } return sum; };
const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

export class Resampler {
  constructor(rate, toRate) {
    const shared = common(rate, toRate), lower = Math.min(1, toRate / rate);
    [this.up, this.down] = [toRate / shared, rate / shared];
    this.reach = Math.ceil(HALF / lower);
    // The filter of each place that a sample can have between two of those that come in.
    this.phases = Array.from({ length: this.up === this.down ? 0 : this.up }, (_, phase) => Float64Array.from({ length: 2 * this.reach + 1 }, (__, tap) => {
      const away = (tap - this.reach - phase / this.up) * lower, edge = 1 - (away / HALF) ** 2;
      return edge <= 0 ? 0 : CUT * lower * sinc(CUT * away) * bessel(BETA * Math.sqrt(edge)) / bessel(BETA);
    }));
    this.kept = new Float32Array(this.reach);
    this.from = -this.reach; // the place of the first that is kept
    this.taken = this.given = 0;
  }

  // What can be given out once `block` has come in; it lags behind a little.
  push(block) {
    this.taken += block.length;
    if (this.up === this.down) return block;
    const all = new Float32Array(this.kept.length + block.length), out = [];
    all.set(this.kept);
    all.set(block, this.kept.length);
    for (; ; this.given += 1) {
      const place = this.given * this.down, first = Math.floor(place / this.up) - this.reach - this.from;
      if (first + 2 * this.reach >= all.length) {
        this.kept = all.slice(first);
        this.from += first;
        return Float32Array.from(out);
      }
      const filter = this.phases[place % this.up];
      let sum = 0;
      for (let tap = 0; tap < filter.length; tap += 1) sum += all[first + tap] * filter[tap];
      out.push(sum);
    }
  }

  // The rest, once no more will come.
  finish() {
    if (this.up === this.down) return new Float32Array(0);
    const left = Math.round(this.taken * this.up / this.down) - this.given;
    return this.push(new Float32Array(2 * this.reach + this.down)).subarray(0, Math.max(0, left));
  }
}

export function resampled(samples, rate, toRate) {
  const resampler = new Resampler(rate, toRate), parts = [resampler.push(samples), resampler.finish()];
  const all = new Float32Array(parts[0].length + parts[1].length);
  all.set(parts[0]);
  all.set(parts[1], parts[0].length);
  return all;
}
