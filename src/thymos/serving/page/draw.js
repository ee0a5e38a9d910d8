// Pictures of a recording, on canvases.

import { emotionWord, look } from "./words.js";

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
const LEFT = 34;

// The waveform, coloured by the stretches under it, and a band that names them; a line where the player is.
export function drawWaveform(canvas, { peaks, stretches, duration, labels, position }) {
  const { pen, width, height } = prepared(canvas);
  const x = (seconds) => LEFT + (width - LEFT) * seconds / duration, top = height - BAND;
  const channels = peaks ?? [null], each = top / channels.length;
  for (const at of stretches) {
    const { colour } = look(at.emotion, labels), from = x(at.start_s), wide = x(at.end_s) - from;
    if (at.emotion === null) continue;
    pen.globalAlpha = 0.18; pen.fillStyle = colour; pen.fillRect(from, 0, wide, top);
    pen.globalAlpha = 1; pen.fillRect(from, top + 2, wide, BAND - 2);
    pen.strokeStyle = style("--card"); pen.strokeRect(from, top + 2, wide, BAND - 2);
    const said = `${emotionWord(at.emotion)} ${at.probability.toFixed(2)}`;
    if (pen.measureText(said).width + 8 < wide) { pen.fillStyle = inkOn(colour); pen.fillText(said, from + 5, height - 8); }
  }
  channels.forEach((own, channel) => {
    const middle = each * (channel + 0.5);
    pen.fillStyle = style("--line"); pen.fillRect(LEFT, middle, width - LEFT, 1);
    if (!own) return;
    let most = 0.02;
    for (const value of own) most = Math.max(most, Math.abs(value));
    const scale = 0.46 * each / most, columns = own.length / 2;
    for (let column = 0; column < width - LEFT; column += 1) {
      const first = Math.floor(column * columns / (width - LEFT)), last = Math.max(first + 1, Math.floor((column + 1) * columns / (width - LEFT)));
      let low = 0, high = 0;
      for (let i = first; i < last; i += 1) { low = Math.min(low, own[2 * i]); high = Math.max(high, own[2 * i + 1]); }
      const emotion = emotionAt(stretches, duration * column / (width - LEFT));
      pen.fillStyle = emotion === null ? style("--wave") : look(emotion, labels).colour;
      pen.fillRect(LEFT + column, middle - high * scale, 1, Math.max(1, (high - low) * scale));
    }
    if (channels.length > 1) { pen.fillStyle = style("--muted"); pen.fillText(String(channel + 1), 10, middle + 4); }
  });
  if (position !== null) { pen.fillStyle = style("--ink"); pen.fillRect(x(position) - 1, 0, 2, height); }
}

const emotionAt = (stretches, seconds) => stretches.find((at) => seconds >= at.start_s && seconds < at.end_s)?.emotion ?? null;

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
  for (let t = Math.ceil(from / step) * step; t <= to + 1e-6; t += step) pen.fillText(`${+t.toFixed(1)} s`, Math.min(width - 18, Math.max(LEFT + 10, x(t))), height - 3);
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
  times.forEach((t, column) => { if (column % 2 === 0) pen.fillText(`${t.toFixed(1)} s`, Math.min(width - 18, x(t)), height - 5); });
}
