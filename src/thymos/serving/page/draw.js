// Pictures of a recording, on canvases.

import { emotionWord, look, word } from "./words.js";

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A canvas as sharp as the screen; what is drawn is in CSS pixels.
function prepared(canvas) {
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return { pen, width, height };
}

export const COLUMNS = 1200;
const BAND = 26;
export const LEFT = 34;

// The waveform, coloured by the stretches under it, and a band that names them; a line where the player is. Each lane,
// a channel or a voice that was heard by itself, has its own; what was heard as one is drawn channel by channel.
export function drawWaveform(canvas, { lanes, duration, labels, position }) {
  const { pen, width, height } = prepared(canvas), x = (seconds) => LEFT + (width - LEFT) * seconds / duration;
  const each = height / Math.max(1, lanes.length);
  lanes.forEach((lane, place) => {
    const roof = place * each, floor = roof + each - BAND - (place + 1 < lanes.length ? 6 : 0);
    drawStretches(pen, lane.stretches, { roof, floor, x, labels });
    const channels = lane.peaks ?? [null], high = (floor - roof) / channels.length;
    channels.forEach((own, channel) => {
      const middle = roof + high * (channel + 0.5), name = lane.name ? /\d+$/.exec(lane.name)?.[0] : channels.length > 1 ? String(channel + 1) : "";
      drawSound(pen, own, { middle, high, width, colourAt: (share) => colourOf(lane.stretches, duration * share, labels) });
      if (name && (channel === 0 || !lane.name)) { pen.fillStyle = style("--muted"); pen.fillText(name, 12, middle + 4); }
    });
  });
  if (position !== null) { pen.fillStyle = style("--ink"); pen.fillRect(x(position) - 1, 0, 2, height); }
}

function drawStretches(pen, stretches, { roof, floor, x, labels }) {
  for (const at of stretches) {
    if (at.emotion === null) continue;
    const { colour } = look(at.emotion, labels), from = x(at.start_s), wide = x(at.end_s) - from;
    pen.globalAlpha = 0.18; pen.fillStyle = colour; pen.fillRect(from, roof, wide, floor - roof);
    pen.globalAlpha = 1; pen.fillRect(from, floor + 2, wide, BAND - 2);
    pen.strokeStyle = style("--card"); pen.strokeRect(from, floor + 2, wide, BAND - 2);
    const words = [`${emotionWord(at.emotion)} ${at.probability.toFixed(2)}`, emotionWord(at.emotion)];
    const said = words.find((each) => pen.measureText(each).width + 8 < wide);
    if (said) { pen.fillStyle = inkOn(colour); pen.fillText(said, from + 5, floor + BAND - 8); }
  }
}

function drawSound(pen, peaks, { middle, high, width, colourAt }) {
  pen.fillStyle = style("--line"); pen.fillRect(LEFT, middle, width - LEFT, 1);
  if (!peaks) return;
  let most = 0.02;
  for (const value of peaks) most = Math.max(most, Math.abs(value));
  const scale = 0.46 * high / most, columns = peaks.length / 2;
  for (let column = 0; column < width - LEFT; column += 1) {
    const first = Math.floor(column * columns / (width - LEFT)), last = Math.max(first + 1, Math.floor((column + 1) * columns / (width - LEFT)));
    let low = 0, top = 0;
    for (let i = first; i < last; i += 1) { low = Math.min(low, peaks[2 * i]); top = Math.max(top, peaks[2 * i + 1]); }
    pen.fillStyle = colourAt(column / (width - LEFT));
    pen.fillRect(LEFT + column, middle - top * scale, 1, Math.max(1, (top - low) * scale));
  }
}

function colourOf(stretches, seconds, labels) {
  const emotion = stretches.find((at) => seconds >= at.start_s && seconds < at.end_s)?.emotion ?? null;
  return emotion === null ? style("--wave") : look(emotion, labels).colour;
}


function inkOn(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#111111" : "#ffffff";
}

// A line an emotion: `points` are {at, probabilities or null}, times in seconds; one that stands alone has from and to.
export function drawCurve(canvas, { points, from, to, labels, position = null }) {
  const { pen, width, height } = prepared(canvas), floor = height - 18, roof = 8;
  const x = (seconds) => LEFT + (width - LEFT - 6) * (seconds - from) / Math.max(1e-9, to - from), y = (p) => floor - (floor - roof) * p;
  pen.textAlign = "right";
  for (const p of [0, 0.5, 1]) {
    pen.fillStyle = style("--line"); pen.fillRect(LEFT, y(p), width - LEFT, 1);
    pen.fillStyle = style("--muted"); pen.fillText(p.toFixed(1), LEFT - 6, y(p) + 4);
  }
  pen.textAlign = "center";
  const step = [0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800].find((s) => (to - from) / s <= width / 70) ?? 3600;
  for (let t = Math.ceil(from / step) * step; t <= to + 1e-6; t += step) pen.fillText(word("seconds", +t.toFixed(1)), Math.min(width - 18, Math.max(LEFT + 10, x(t))), height - 3);
  pen.textAlign = "left";
  for (const label of labels) {
    const { colour, dash } = look(label, labels);
    pen.strokeStyle = colour; pen.lineWidth = 2.2; pen.setLineDash(dash); pen.beginPath();
    let joined = false;
    if (points.length === 1 && points[0].probabilities) {
      const [{ from: start = from, to: stop = to, probabilities }] = points, level = y(probabilities[label] ?? 0);
      pen.moveTo(x(start), level); pen.lineTo(x(stop), level);
    } else for (const point of points) {
      if (point.probabilities === null) { joined = false; continue; }
      const px = x(point.at), py = y(point.probabilities[label] ?? 0);
      if (joined) pen.lineTo(px, py); else { pen.moveTo(px, py); pen.lineTo(px + 0.01, py); }
      joined = true;
    }
    pen.stroke();
  }
  pen.setLineDash([]);
  if (position !== null) { pen.fillStyle = style("--ink"); pen.fillRect(x(position) - 1, roof, 2, floor - roof); }
}

// The grid of an explanation: red carried the decision, blue spoke against it; what is marked has a frame.
export function drawExplanation(canvas, explanation) {
  const { pen, width, height } = prepared(canvas), left = 62, floor = height - 22;
  const { times_s: times, bands_hz: bands, effect, marked } = explanation, columns = times.length - 1, rows = bands.length - 1;
  const reach = Math.max(0.05, ...effect.flat().map(Math.abs));
  const x = (t) => left + (width - left - 4) * (t - times[0]) / (times[columns] - times[0]), rowHeight = floor / rows;
  for (let row = 0; row < rows; row += 1) for (let column = 0; column < columns; column += 1) {
    const share = effect[row][column] / reach, from = x(times[column]), wide = x(times[column + 1]) - from, top = floor - (row + 1) * rowHeight;
    pen.globalAlpha = Math.min(1, Math.abs(share)); pen.fillStyle = share > 0 ? "#c1440e" : "#1d5fa8"; pen.fillRect(from, top, wide, rowHeight);
    pen.globalAlpha = 1; pen.lineWidth = 1; pen.strokeStyle = style("--line"); pen.strokeRect(from, top, wide, rowHeight);
    if (marked[row][column]) { pen.lineWidth = 3; pen.strokeStyle = style("--ink"); pen.strokeRect(from + 2, top + 2, wide - 4, rowHeight - 4); }
  }
  pen.fillStyle = style("--muted"); pen.textAlign = "right";
  bands.forEach((hz, row) => pen.fillText(`${Math.round(hz)} Hz`, left - 6, Math.min(floor, Math.max(11, floor - row * rowHeight + 4))));
  pen.textAlign = "center";
  times.forEach((t, column) => { if (column % 2 === 0) pen.fillText(word("seconds", t.toFixed(1)), Math.min(width - 18, x(t)), height - 5); });
}
