// Live: the microphone's sound out, what is heard in it back.

import { drawCurve } from "./draw.js";
import { element, emotionTag, find } from "./parts.js";
import { stream } from "./server.js";
import { levelDb, openMicrophone } from "./sound.js";
import { emotionWord, look, word } from "./words.js";

const SHOWN_S = 30;
// Short windows answer soon; what they are unsure of is smoothed over the last seconds.
const SESSION = { format: "f32le", window: 1.5, hop: 0.25, smoothing: 3 };

let running = null; // the line and the microphone
let shown = null; // what is drawn, also once that is over

export const isListening = () => running !== null;

export async function listen(choice, labels, fail) {
  const own = { labels, points: [], emotion: undefined };
  let line = null;
  const over = (why) => { if (running?.line === line) { stop(); fail(why); } };
  const microphone = await openMicrophone((block) => { find("level").value = levelDb(block); line?.send(block); }, () => over(word("microphoneLost")));
  line = stream(
    { ...SESSION, rate: microphone.rate, model: choice.model, ...(choice.labels ? { labels } : {}), ...(choice.vad_threshold ? { vad_threshold: choice.vad_threshold } : {}) },
    (event) => {
      if (event.type === "error") over(event.error.detail); // the line then closes: no news
      if (event.type === "measurement.result" && shown === own) { own.points.push({ at: event.end_s, probabilities: event.smoothed.probabilities, emotion: event.smoothed.emotion }); draw(); }
    },
    () => over(word("connectionLost")),
  );
  running = { line, microphone };
  shown = own;
  find("live").hidden = false;
  showBars(labels);
  draw();
}

export async function stop() {
  const { line, microphone } = running;
  running = null;
  line.end();
  await microphone.close();
  find("level").value = -60;
}

export function redraw() {
  if (shown) { showBars(shown.labels); shown.emotion = undefined; draw(); }
}

function showBars(labels) {
  find("live-bars").replaceChildren(...labels.flatMap((label) => {
    const fill = element("span");
    fill.style.background = look(label, labels).colour;
    return [emotionTag(label, labels), element("div", { className: "bar" }, fill), element("span", { className: "number", textContent: "" })];
  }));
  find("live-curve").setAttribute("aria-label", word("liveCurve"));
}

function draw() {
  const { labels, points } = shown, last = points.at(-1);
  while (points.length && points[0].at < last.at - SHOWN_S) points.shift();
  const end = Math.max(SHOWN_S, last?.at ?? 0);
  drawCurve(find("live-curve"), { points, from: end - SHOWN_S, to: end, labels });
  const emotion = last ? last.emotion : undefined;
  if (emotion !== shown.emotion) { // what a screen reader says: changes alone
    shown.emotion = emotion;
    find("live-emotion").replaceChildren(...(emotion === undefined ? [word("listening")] : [emotionTag(emotion, labels, emotionWord(emotion))]));
  }
  const cells = find("live-bars").children;
  labels.forEach((label, place) => {
    const share = last?.probabilities?.[label] ?? 0;
    cells[3 * place + 1].firstChild.style.width = `${100 * share}%`;
    cells[3 * place + 2].textContent = last?.probabilities ? share.toFixed(2) : "";
  });
}
