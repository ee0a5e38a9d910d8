// Channels on their way to one: brought to scale, turned round where one is upside down, mixed; or one taken alone. As
// src/thymos/audio/mixing.py, which says where the numbers are from.

const BEGINNING_S = 30, BEGINNING_VALUES = 1 << 23, ENOUGH_ENERGY_S = 1e-6;
const LARGEST = 2 ** 32, LOUDEST_FLOAT = 16, INTEGER_SCALES = [2 ** 15, 2 ** 23, 2 ** 31];
const INVERTED = -0.85, AS_LOUD = 0.4, DIFFERENT = 0.5;
const SILENT_BELOW = 1e-5, HARDLY_HEARD = 1e-3, LEAST_POWER = 1e-8;
const OFFSET_SHARE = 0.02, OFFSET_ERRORS = 8, LEAST_OFFSET = 1e-4;
const FULL_SCALE = 32_767 / 32_768, SHORTEST_CLIPPED_RUN = 3, CLIPPED_SHARE = 1e-3;

// {samples, remarks} of `channel`, "mix" or a number from 1: samples at the sound's own rate, remarks sorted.
export function mixed({ rate, channels }, channel) {
  if (channel !== "mix" && !(channel >= 1 && channel <= channels.length)) throw new Error(`has ${channels.length} channel${channels.length === 1 ? "" : "s"}, so there is no channel ${channel}`);
  channels.forEach(check);
  const place = channels.length === 1 ? 0 : channel === "mix" ? null : channel - 1, { length } = channels[0];
  const step = Math.ceil(Math.min(BEGINNING_S * rate, BEGINNING_VALUES / channels.length));
  const samples = new Float32Array(length), remarks = new Set(), all = new Moments(channels.length);
  const clips = (place === null ? channels : [channels[place]]).map((values) => ({ values, run: 0, sign: 0, count: 0 }));
  for (let from = 0, plan = null, to = 0; from < length; from = to) {
    to = plan ? length : Math.min(length, from + step);
    const { own, decides } = plan ? { own: plan, decides: true } : planOf(channels, from, to, place, rate);
    if (decides) plan = own;
    if (own.scale !== 1) remarks.add("rescaled");
    if (own.weights) remarks.add("inverted_channel");
    if (own.offset) remarks.add("offset");
    if (place === null) all.add(channels, from, to, own.scale);
    clips.forEach((each) => count(each, from, to, own.scale));
    mix(samples, channels, { from, to, place, ...own });
  }
  const clipped = clips.reduce((sum, each) => sum + each.count, 0);
  if (clipped >= Math.max(SHORTEST_CLIPPED_RUN, CLIPPED_SHARE * clips.length * length)) remarks.add("clipped");
  if (place === null) remarkOn(all, remarks);
  return { samples, remarks: [...remarks].sort() };
}

function check(values) {
  let most = 0;
  for (const value of values) { if (!(Math.abs(value) <= LARGEST)) most = Number.isFinite(value) ? Math.max(most, Math.abs(value)) : Infinity; }
  if (most === Infinity) throw new Error("holds samples that are NaN or infinite");
  if (most) throw new Error(`holds samples as large as ${most.toExponential(0)}, where full scale is 1`);
}

// What is done to a beginning, and whether to all that follows: not if it is silent.
function planOf(channels, from, to, place, rate) {
  const moments = new Moments(channels.length);
  moments.add(channels, from, to, 1);
  const scale = scaleOf(channels, from, to), covariance = moments.covariance(scale), power = covariance.map((row, c) => row[c]);
  let weights = null;
  if (place === null) {
    const signs = signsOf(covariance, power);
    if (signs.includes(-1)) weights = signs.map((sign) => sign / channels.length);
  }
  const mixing = channels.map((_, c) => (place !== null ? Number(c === place) : weights ? weights[c] : 1 / channels.length));
  const mean = mixing.reduce((sum, weight, c) => sum + weight * moments.sums[c] / moments.count, 0) / scale;
  const variance = mixing.reduce((sum, one, c) => sum + mixing.reduce((row, other, d) => row + one * other * covariance[c][d], 0), 0);
  const least = Math.max(OFFSET_SHARE, OFFSET_ERRORS / Math.sqrt(moments.count)) * Math.sqrt(Math.max(0, variance));
  const offset = Math.abs(mean) > Math.max(least, LEAST_OFFSET) ? mean : 0;
  return { own: { scale, weights, offset }, decides: power.reduce((sum, own) => sum + own, 0) * moments.count > ENOUGH_ENERGY_S * rate };
}

// What samples are to be divided by.
function scaleOf(channels, from, to) {
  let peak = 0;
  for (const values of channels) for (let at = from; at < to; at += 1) peak = Math.max(peak, Math.abs(values[at]));
  return peak <= LOUDEST_FLOAT ? 1 : INTEGER_SCALES.find((scale) => peak <= scale * 1.01) ?? INTEGER_SCALES.at(-1);
}

// -1 for each channel that is the loudest one upside down, else 1.
function signsOf(covariance, power) {
  const loudest = power.indexOf(Math.max(...power));
  if (power[loudest] <= 0) return power.map(() => 1);
  return power.map((own, c) => {
    const correlation = covariance[loudest][c] / Math.sqrt(Math.max(own, Number.MIN_VALUE) * power[loudest]);
    return correlation < INVERTED && own > AS_LOUD * power[loudest] ? -1 : 1;
  });
}

function mix(samples, channels, { from, to, place, scale, weights, offset }) {
  for (let at = from; at < to; at += 1) {
    let sum = 0;
    if (place !== null) sum = channels[place][at];
    else for (let c = 0; c < channels.length; c += 1) sum += channels[c][at] * (weights ? weights[c] : 1 / channels.length);
    samples[at] = sum / scale - offset;
  }
}

// Samples in runs of at least three at full scale of one sign.
function count(each, from, to, scale) {
  for (let at = from; at < to; at += 1) {
    const value = each.values[at] / scale, sign = Math.abs(value) >= FULL_SCALE ? Math.sign(value) : 0;
    each.run = sign === each.sign ? each.run + 1 : 1;
    each.sign = sign;
    if (sign && each.run >= SHORTEST_CLIPPED_RUN) each.count += each.run === SHORTEST_CLIPPED_RUN ? SHORTEST_CLIPPED_RUN : 1;
  }
}

// What is only said of a mix, once all of it has gone through.
function remarkOn(moments, remarks) {
  const covariance = moments.covariance(1), power = covariance.map((row, c) => row[c]), loudest = Math.max(...power);
  if (!moments.count || loudest <= LEAST_POWER) return;
  if (power.some((own) => own < Math.max(LEAST_POWER, SILENT_BELOW * loudest))) remarks.add("silent_channel");
  const heard = power.map((_, c) => c).filter((c) => power[c] > HARDLY_HEARD * loudest);
  const correlations = heard.flatMap((c) => heard.map((d) => covariance[c][d] / Math.sqrt(power[c] * power[d])));
  const least = Math.min(...correlations.map((each) => (remarks.has("inverted_channel") ? Math.abs(each) : each)));
  if (least < DIFFERENT) remarks.add("mixed_channels");
}

// Sums and products of channels, piece by piece.
class Moments {
  constructor(channels) {
    this.count = 0;
    this.sums = new Array(channels).fill(0);
    this.products = Array.from({ length: channels }, () => new Array(channels).fill(0));
  }

  add(channels, from, to, scale) {
    this.count += to - from;
    for (let c = 0; c < channels.length; c += 1) {
      let sum = 0;
      for (let at = from; at < to; at += 1) sum += channels[c][at];
      this.sums[c] += sum / scale;
      for (let d = 0; d <= c; d += 1) {
        let product = 0;
        for (let at = from; at < to; at += 1) product += channels[c][at] * channels[d][at];
        this.products[c][d] += product / scale ** 2;
        this.products[d][c] = this.products[c][d];
      }
    }
  }

  covariance(scale) {
    const all = Math.max(1, this.count), means = this.sums.map((sum) => sum / all);
    return this.products.map((row, c) => row.map((product, d) => (product / all - means[c] * means[d]) / scale ** 2));
  }
}
