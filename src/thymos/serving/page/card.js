// The model card: what a user of the answers should know.

import { element } from "./parts.js";
import { emotionWord, word } from "./words.js";

export function showCard(place, model) {
  const rows = [
    [word("model"), model.model],
    [word("cardLabels"), model.labels.map(emotionWord).join(", ")],
    [word("cardNot"), word("cardNotText")],
    [word("cardLicence"), model.licence],
    [word("cardTrained"), corpora(model.trained_on)],
    [word("cardScores"), model.scores.map(scoreWords).filter(Boolean).join("; ") || "–"],
    [word("cardSets"), model.coverage === null ? "–" : word("cardCoverage", model.coverage)],
    [word("cardFiles"), Object.entries(model.sha256).map(([file, digest]) => `${file}: ${digest.slice(0, 16)}…`).join("; ")],
  ];
  place.replaceChildren(element("dl", {}, ...rows.flatMap(([name, said]) => [element("dt", { textContent: name }), element("dd", { textContent: said })])));
}

// A corpus may have taught the encoder and the head: it is named once.
function corpora(rows) {
  const clips = new Map();
  for (const { name, clips: count } of rows) clips.set(name, Math.max(count, clips.get(name) ?? 0));
  return [...clips].map(([name, count]) => `${name} (${word("clips", count)})`).join("; ");
}

function scoreWords(score) {
  const value = typeof score.accuracy === "object" && score.accuracy ? score.accuracy.mean : score.accuracy;
  if (typeof value !== "number") return "";
  return `${score.corpus}, ${score.protocol}: ${(100 * value).toFixed(1)} % (${word("clips", score.recordings)})`;
}
