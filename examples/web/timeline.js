// Moments put together into stretches: from when to when which emotion is heard. As src/thymos/runtime/timeline.py.

import { FRAME_S } from "./speech.js";

export const MOMENT_S = 0.25;
const BRIDGED_S = 0.6, CHANGE_COST_S = 4, PAUSE_COST_S = 1, SNAP_S = 0.5, LEAST = 1e-12;

// `moments`: probabilities of each, or null; `spans`: runs of speech, in frames of the VAD; `shortestS`: what is shorter goes
// to a neighbour.
export function makeTimeline(moments, spans, labels, durationS, shortestS = 0.5) {
  const stretches = [];
  let endS = 0;
  for (const utterance of utterancesOf(spans, durationS, shortestS)) {
    const pieces = piecesOf(utterance, moments, labels, shortestS);
    if (!pieces.length) continue;
    if (utterance.startS > endS) stretches.push(silence(endS, utterance.startS));
    stretches.push(...pieces);
    ({ endS } = utterance);
  }
  if (endS < durationS) stretches.push(silence(endS, durationS));
  return stretches.reduce((joined, at) => {
    const last = joined.at(-1);
    if (last && last.emotion === null && at.emotion === null) last.endS = at.endS; else joined.push(at);
    return joined;
  }, []);
}

// How much of the time in which an emotion is heard each one has, the largest share first.
export function sharesOf(stretches) {
  const seconds = new Map();
  for (const { emotion, startS, endS } of stretches) if (emotion !== null) seconds.set(emotion, (seconds.get(emotion) ?? 0) + endS - startS);
  const all = [...seconds.values()].reduce((sum, own) => sum + own, 0);
  return Object.fromEntries([...seconds].sort(([a, one], [b, other]) => other - one || (a < b ? -1 : 1)).map(([word, own]) => [word, own / all]));
}

const silence = (startS, endS) => ({ startS, endS, emotion: null, probability: null });

function utterancesOf(spans, durationS, shortestS) {
  const utterances = [];
  for (const [first, last] of spans) {
    const startS = first * FRAME_S, endS = Math.min(last * FRAME_S, durationS), before = utterances.at(-1);
    if (before && startS - before.endS < BRIDGED_S) { before.pauses.push([before.endS, startS]); before.endS = endS; } else utterances.push({ startS, endS, pauses: [] });
  }
  let freeFromS = 0;
  utterances.forEach((own, number) => {
    const freeToS = utterances[number + 1]?.startS ?? durationS, missingS = shortestS - (own.endS - own.startS);
    if (missingS > 0) {
      own.startS = Math.max(freeFromS, own.startS - missingS / 2);
      own.endS = Math.min(freeToS, own.startS + shortestS);
    }
    freeFromS = own.endS;
  });
  return utterances;
}

function piecesOf(utterance, moments, labels, shortestS) {
  const first = Math.floor(utterance.startS / MOMENT_S), last = Math.min(moments.length, Math.max(first + 1, Math.ceil(utterance.endS / MOMENT_S - 1e-9)));
  const heard = [];
  for (let place = first; place < last; place += 1) if (moments[place]) heard.push(place);
  if (!heard.length) return [];
  const costs = heard.map((place) => (pauseNear(place * MOMENT_S, utterance, MOMENT_S / 2) ? PAUSE_COST_S : CHANGE_COST_S));
  const path = likeliestPath(heard.map((place) => moments[place].map((p) => Math.log(Math.max(p, LEAST)) * MOMENT_S)), costs);
  const changes = path.map((_, number) => number).filter((number) => number && path[number] !== path[number - 1]);
  const edges = [utterance.startS, ...changes.map((number) => edgeAt(heard[number] * MOMENT_S, utterance)), utterance.endS];
  for (let i = 1; i < edges.length; i += 1) edges[i] = Math.max(edges[i], edges[i - 1]);
  const begins = [0, ...changes], stops = [...changes, heard.length];
  const pieces = begins.map((begin, i) => ({ startS: edges[i], endS: edges[i + 1], best: path[begin], moments: heard.slice(begin, stops[i]).map((place) => moments[place]) }));
  const length = (piece) => piece.endS - piece.startS;
  while (pieces.length > 1) {
    const shortest = pieces.reduce((least, piece, i) => (length(piece) < length(pieces[least]) ? i : least), 0);
    if (length(pieces[shortest]) >= shortestS - 1e-9) break;
    giveAway(pieces, shortest);
  }
  return pieces.map(({ startS, endS, best, moments: own }) => ({ startS, endS, emotion: labels[best], probability: mean(own.map((each) => each[best])) }));
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// The states with the most evidence, less what changes cost (Viterbi 1967).
function likeliestPath(evidence, costs) {
  const cameFrom = [];
  let best = [...evidence[0]];
  for (let step = 1; step < evidence.length; step += 1) {
    const other = best.indexOf(Math.max(...best)), moved = best[other] - costs[step];
    cameFrom[step] = best.map((value, state) => (value >= moved ? state : other));
    best = best.map((value, state) => Math.max(value, moved) + evidence[step][state]);
  }
  const path = [best.indexOf(Math.max(...best))];
  for (let step = evidence.length - 1; step > 0; step -= 1) path.unshift(cameFrom[step][path[0]]);
  return path;
}

// The nearest pause that is no farther, the earlier of equals.
function pauseNear(atS, { pauses }, withinS) {
  const distances = pauses.map(([startS, endS]) => [Math.max(0, startS - atS, atS - endS), startS, endS]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  return distances.length && distances[0][0] <= withinS + 1e-9 ? distances[0].slice(1) : null;
}

function edgeAt(atS, utterance) {
  const pause = pauseNear(atS, utterance, SNAP_S);
  return pause ? (pause[0] + pause[1]) / 2 : atS;
}

// To the neighbour whose emotion is the more probable in it; neighbours that are now alike are joined.
function giveAway(pieces, short) {
  const [own] = pieces.splice(short, 1), share = (place) => mean(own.moments.map((each) => each[pieces[place].best]));
  const beside = [short - 1, short].filter((place) => place >= 0 && place < pieces.length);
  const taker = pieces[beside.length > 1 && share(beside[1]) > share(beside[0]) ? beside[1] : beside[0]];
  taker.startS = Math.min(taker.startS, own.startS);
  taker.endS = Math.max(taker.endS, own.endS);
  if (short > 0 && short < pieces.length && pieces[short - 1].best === pieces[short].best) {
    const [later] = pieces.splice(short, 1);
    pieces[short - 1].endS = later.endS;
    pieces[short - 1].moments.push(...later.moments);
  }
}
