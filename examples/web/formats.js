// Rows as text, each as src/thymos/runtime/formats.py writes it.

const number = (value) => (Number.isInteger(value) ? `${value}.0` : String(value)); // as Python writes what is a float

const cell = (value) => {
  const text = value === null || value === undefined ? "" : Array.isArray(value) ? value.join(" ") : typeof value === "number" ? number(value) : value;
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text; // a spreadsheet would reckon it
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

export function csv(row, labels) {
  const head = ["file", "emotion", ...labels.map((label) => `p_${label}`), "prediction_set", "speech_s", "duration_s", "flags", "model", "error"];
  const values = [row.file, row.emotion, ...labels.map((label) => row.probabilities?.[label]), row.prediction_set, row.speech_s, row.duration_s, row.flags, row.model, ""];
  return `${head.join(",")}\n${values.map(cell).join(",")}\n`;
}

export function textgrid(row) {
  const stretches = row.timeline.filter((at) => at.end_s > at.start_s);
  const intervals = stretches.flatMap((at, i) => [`        intervals [${i + 1}]:`, `            xmin = ${number(at.start_s)}`, `            xmax = ${number(at.end_s)}`, `            text = "${at.emotion ?? ""}"`]);
  return `${[
    'File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", `xmax = ${number(row.duration_s)}`, "tiers? <exists>", "size = 1", "item []:", "    item [1]:",
    '        class = "IntervalTier"', '        name = "emotion"', "        xmin = 0", `        xmax = ${number(row.duration_s)}`, `        intervals: size = ${stretches.length}`, ...intervals,
  ].join("\n")}\n`;
}

const SHORTEST_CAPTION_S = 1;

function captions(row) {
  let freeFrom = 0;
  return row.timeline.filter((at) => at.emotion !== null && at.end_s > at.start_s).map((at) => {
    const start = Math.max(at.start_s, freeFrom), end = Math.max(at.end_s, start + SHORTEST_CAPTION_S);
    freeFrom = end;
    return [start, end, `${at.emotion} ${at.probability.toFixed(2)}`];
  });
}

function clock(seconds, point) {
  const all = Math.round(seconds * 1000), two = (value) => String(Math.floor(value)).padStart(2, "0");
  return `${two(all / 3_600_000)}:${two(all / 60_000 % 60)}:${two(all / 1000 % 60)}${point}${String(all % 1000).padStart(3, "0")}`;
}

export const srt = (row) => captions(row).map(([start, end, text], i) => `${i + 1}\n${clock(start, ",")} --> ${clock(end, ",")}\n${text}\n`).join("\n");
export const vtt = (row) => `WEBVTT\n\n${captions(row).map(([start, end, text]) => `${clock(start, ".")} --> ${clock(end, ".")}\n${text}\n`).join("\n")}`;
