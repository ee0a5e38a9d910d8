// One recording: played, drawn, and told stretch by stretch.

import { COLUMNS, drawCurve, drawExplanation, drawWaveform } from "./draw.js";
import { element, emotionTag, find, showLegend } from "./parts.js";
import { predict } from "./server.js";
import { peaksOf } from "./sound.js";
import { emotionWord, flagWord, word } from "./words.js";

const player = find("player");
let shown = null;
let playUntil = Infinity;

export const shownItem = () => shown;

export async function show(item) {
  shown = item;
  find("detail").hidden = item === null;
  if (item === null) { player.removeAttribute("src"); player.load(); return; }
  if (player.dataset.of !== String(item.number)) {
    if (player.src) URL.revokeObjectURL(player.src);
    player.src = URL.createObjectURL(item.blob);
    player.dataset.of = String(item.number);
    player.hidden = false;
    find("unplayable").hidden = true;
  }
  tell(item);
  if (item.peaks === undefined) {
    item.peaks = await peaksOf(item.blob, COLUMNS);
    if (shown === item) draw();
  }
}

function tell(item) {
  const { row, labels } = item, set = row.prediction_set.slice(1).map(emotionWord);
  find("detail-title").textContent = item.name;
  const remarks = [...(set.length ? [`${word("columnSet").toLowerCase()} ${set.join(", ")}`] : []), ...row.flags.map(flagWord)];
  const sure = row.emotion === null ? "" : ` ${row.probabilities[row.emotion].toFixed(2)}`;
  find("answer").replaceChildren(emotionTag(row.emotion, labels, emotionWord(row.emotion) + sure), remarks.length ? ` – ${remarks.join("; ")}` : "");
  find("stretches").replaceChildren(...row.timeline.map((at) => {
    const times = `${at.start_s.toFixed(1)} – ${word("seconds", at.end_s.toFixed(1))}  `;
    const said = emotionWord(at.emotion) + (at.emotion === null ? "" : ` ${at.probability.toFixed(2)}`);
    const button = element("button", { type: "button" }, times, emotionTag(at.emotion, labels, said));
    button.addEventListener("click", () => play(at));
    return element("li", {}, button);
  }));
  showLegend(find("legend"), labels);
  find("waveform").setAttribute("aria-label", word("waveformOf", item.name));
  find("curve").setAttribute("aria-label", word("curveOf", item.name));
  find("explain").hidden = row.emotion === null;
  find("explanation").hidden = item.explanation === undefined;
  draw();
  if (item.explanation) tellExplanation(item);
}

export function draw() {
  if (shown === null) return;
  const { row, labels, peaks } = shown, position = player.currentTime > 0 ? player.currentTime : null;
  drawWaveform(find("waveform"), { peaks, stretches: row.timeline, duration: row.duration_s, labels, position });
  const points = row.windows.map((window) => ({ at: (window.start_s + window.end_s) / 2, from: window.start_s, to: window.end_s, probabilities: window.probabilities }));
  drawCurve(find("curve"), { points, from: 0, to: row.duration_s, labels, position });
  if (shown.explanation && !find("explanation").hidden) drawExplanation(find("explanation-picture"), shown.explanation);
}

async function play(at) {
  player.currentTime = at.start_s;
  playUntil = at.end_s;
  await player.play().catch(() => {});
}

function follow() {
  if (player.currentTime >= playUntil) { player.pause(); playUntil = Infinity; }
  draw();
  if (!player.paused) requestAnimationFrame(follow);
}

function tellExplanation(item) {
  const { explanation } = item, marked = explanation.marked.flat().some(Boolean);
  const said = marked
    ? word("carried", { emotion: emotionWord(explanation.emotion), before: explanation.probability.toFixed(2), after: explanation.probability_without.toFixed(2) })
    : word("noRegion");
  find("explanation-words").textContent = said;
  find("explanation-picture").setAttribute("aria-label", word("explanationOf", said));
  find("explanation").hidden = false;
  drawExplanation(find("explanation-picture"), explanation);
}

export async function explain(choice) {
  const item = shown;
  item.explanation ??= (await predict(item.blob, choice, { explain: true })).explanation;
  if (shown === item) tellExplanation(item);
}

player.addEventListener("play", () => requestAnimationFrame(follow));
player.addEventListener("seeked", draw);
player.addEventListener("error", () => { if (shown !== null && player.src) { player.hidden = true; find("unplayable").hidden = false; } });
find("waveform").addEventListener("click", (event) => {
  const LEFT = 34, box = find("waveform").getBoundingClientRect();
  const seconds = shown.row.duration_s * (event.clientX - box.left - LEFT) / (box.width - LEFT);
  const at = shown.row.timeline.find((each) => seconds >= each.start_s && seconds < each.end_s);
  if (at) play(at);
});
new ResizeObserver(draw).observe(find("waveform"));
