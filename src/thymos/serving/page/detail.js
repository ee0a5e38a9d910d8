// One recording: played, drawn, and told stretch by stretch; each of its channels or voices beside the others.

import { COLUMNS, drawCurve, drawExplanation, drawWaveform, LEFT } from "./draw.js";
import { element, emotionTag, find, showLegend } from "./parts.js";
import { CAN, predict } from "./server.js";
import { peaksOf } from "./sound.js";
import { answerOf, emotionWord, flagWord, partWord, reasonOf, word } from "./words.js";

const player = find("player");
let shown = null;
let parts = []; // of the shown recording: each a row, and where it is told
let playUntil = Infinity;
const explaining = new WeakSet(); // rows that are just being explained

export const shownItem = () => shown;

export async function show(item) {
  shown = item;
  find("detail").hidden = item === null;
  if (player.dataset.of !== String(item?.number)) {
    if (player.src) URL.revokeObjectURL(player.src);
    player.removeAttribute("src");
    player.load();
    delete player.dataset.of;
    playUntil = Infinity;
  }
  if (item === null) { parts = []; return; }
  if (!player.dataset.of) {
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
  const heard = item.rows.filter((row) => !row.error);
  find("detail-title").textContent = item.name;
  find("subtitles").hidden = heard.some((row) => row.speaker); // one voice alone is no file
  parts = heard.map((row) => ({ row, place: find("part").content.firstElementChild.cloneNode(true) }));
  find("parts").replaceChildren(...parts.map(({ place }) => place));
  parts.forEach((part) => tellPart(item, part));
  showLegend(find("legend"), item.labels);
  find("waveform").setAttribute("aria-label", word("waveformOf", item.name));
  find("waveform").style.height = `${Math.max(150, 110 * parts.length)}px`;
  draw();
}

// A silence of less than the tenth of a second that times are told to is not told.
const isSeen = ({ start_s: start, end_s: end, emotion }) => emotion !== null || start.toFixed(1) !== end.toFixed(1);

function tellPart(item, { row, place }) {
  const { labels } = item, { emotion, sure, others } = answerOf(row), at = (name) => place.querySelector(`.${name}`);
  const title = partWord(row), whole = title ? `${item.name}, ${title}` : item.name;
  at("part-title").textContent = title;
  at("part-title").hidden = !title;
  const dimensions = Object.entries(row.dimensions ?? {}).map(([name, value]) => `${word(name)} ${value.toFixed(2)}`);
  const remarks = [...(others ? [row.long ? others : word("mayBe", others)] : []), ...dimensions, ...row.flags.map(flagWord)];
  at("answer").replaceChildren(emotionTag(emotion, labels, `${emotionWord(emotion)} ${sure}`.trim()), remarks.length ? ` – ${remarks.join("; ")}` : "");
  at("stretches").replaceChildren(...row.timeline.filter(isSeen).map((stretch) => {
    const times = `${stretch.start_s.toFixed(1)} – ${word("seconds", stretch.end_s.toFixed(1))}  `;
    const said = emotionWord(stretch.emotion) + (stretch.emotion === null ? "" : ` ${stretch.probability.toFixed(2)}`);
    const button = element("button", { type: "button" }, times, emotionTag(stretch.emotion, labels, said));
    button.addEventListener("click", () => play(stretch));
    return element("li", {}, button);
  }));
  at("curve").setAttribute("aria-label", word("curveOf", whole));
  for (const each of place.querySelectorAll("[data-text]")) each.textContent = word(each.dataset.text);
  if (!CAN.explain) return;
  const button = at("explain");
  button.hidden = row.emotion === null || row.speaker !== undefined;
  button.addEventListener("click", () => explain(item, row));
  busy(place, explaining.has(row));
  if (item.explained.has(row)) tellExplanation(item, row, place);
}

export function draw() {
  if (shown === null) return;
  const { labels, peaks } = shown, position = player.currentTime > 0 ? player.currentTime : null;
  const duration = Math.max(...parts.map(({ row }) => row.duration_s));
  const lanes = parts.map(({ row }) => ({ stretches: row.timeline, name: partWord(row), peaks: row.channel && peaks ? [peaks[row.channel - 1] ?? null] : peaks }));
  drawWaveform(find("waveform"), { lanes, duration, labels, position });
  for (const { row, place } of parts) {
    const points = row.windows.map((window) => ({ at: (window.start_s + window.end_s) / 2, from: window.start_s, to: window.end_s, probabilities: window.probabilities }));
    drawCurve(place.querySelector(".curve"), { points, from: 0, to: duration, labels, position });
    if (shown.explained.has(row)) drawExplanation(place.querySelector(".explanation-picture"), shown.explained.get(row));
  }
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

// A disabled button would lose the keyboard's place.
const busy = (place, is) => place.querySelector(".explain").setAttribute("aria-disabled", String(is));
const placeOf = (row) => parts.find((part) => part.row === row)?.place; // a new one in each language; none of what is shown no longer

async function explain(item, row) {
  if (explaining.has(row)) return;
  explaining.add(row);
  busy(placeOf(row), true);
  try {
    if (!item.explained.has(row)) {
      const [told] = await predict(item.blob, { ...item.choice, channels: row.channel }, { explain: true });
      item.explained.set(row, told.explanation);
    }
  } catch (error) { find("problem").textContent = reasonOf(error); }
  explaining.delete(row);
  const place = placeOf(row);
  if (place) busy(place, false);
  if (place && item.explained.has(row)) tellExplanation(item, row, place);
}

function tellExplanation(item, row, place) {
  const explanation = item.explained.get(row), marked = explanation.marked.flat().some(Boolean);
  const said = marked
    ? word("carried", { emotion: emotionWord(explanation.emotion), before: explanation.probability.toFixed(2), after: explanation.probability_without.toFixed(2) })
    : word("noRegion");
  place.querySelector(".explanation-words").textContent = said;
  place.querySelector(".explanation-picture").setAttribute("aria-label", word("explanationOf", said));
  place.querySelector(".explanation").hidden = false;
  if (shown === item) draw();
}

player.addEventListener("play", () => requestAnimationFrame(follow));
// Whoever stops a stretch, or goes beyond it, then hears the rest.
player.addEventListener("pause", () => { if (player.paused) playUntil = Infinity; });
player.addEventListener("seeking", () => { if (player.currentTime >= playUntil) playUntil = Infinity; });
player.addEventListener("seeked", draw);
player.addEventListener("error", () => { if (shown !== null && player.src) { player.hidden = true; find("unplayable").hidden = false; } });
find("waveform").addEventListener("click", (event) => {
  const box = find("waveform").getBoundingClientRect();
  const { row } = parts[Math.min(parts.length - 1, Math.floor(parts.length * (event.clientY - box.top) / box.height))];
  const duration = Math.max(...parts.map((part) => part.row.duration_s));
  const seconds = duration * (event.clientX - box.left - LEFT) / (box.width - LEFT);
  const at = row.timeline.find((each) => seconds >= each.start_s && seconds < each.end_s);
  if (at) play(at);
});
new ResizeObserver(draw).observe(find("waveform"));
