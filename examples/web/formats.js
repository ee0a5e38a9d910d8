// Rows as text, each as src/thymos/runtime/formats.py writes it.

const number = (value) => (Number.isInteger(value) ? `${value}.0` : String(value)); // as Python writes what is a float

const quoted = (text) => (/[ "]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const cell = (value) => {
  const text = value === null || value === undefined ? "" : Array.isArray(value) ? value.map(quoted).join(" ") : typeof value === "number" ? number(value) : value;
  const safe = typeof value !== "number" && /^'*[=+\-@\t\r\n]/.test(text) ? `'${text}` : text; // a spreadsheet would reckon it
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

// The name of channel `number` of what is called `name`, as src/thymos/audio/excerpt.py gives it.
export const channelName = (name, number) => `${name}${/#(t|channel)=[\d.,]+(&\w+=\d+)*$/.test(name) ? "&" : "#"}channel=${number}`;

export function csv(rows, labels) {
  const head = ["file", "emotion", ...labels.map((label) => `p_${label}`), "prediction_set", "speech_s", "duration_s", "flags", "model", "error"];
  const lines = rows.map((row) => [row.file, row.emotion, ...labels.map((label) => row.probabilities?.[label]), row.prediction_set, row.speech_s, row.duration_s, row.flags, row.model, ""]);
  return [head, ...lines].map((values) => `${values.map(cell).join(",")}\n`).join("");
}

export function textgrid(row) {
  const stretches = row.timeline.filter((at) => at.end_s > at.start_s);
  const intervals = stretches.flatMap((at, i) => [`        intervals [${i + 1}]:`, `            xmin = ${number(at.start_s)}`, `            xmax = ${number(at.end_s)}`, `            text = "${(at.emotion ?? "").replaceAll('"', '""')}"`]);
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
    return [start, end, `${at.emotion} ${hundredths(at.probability)}`];
  });
}

// As Python's `.2f`: of what lies right between two, as 0.125 does, the even one.
function hundredths(value) {
  const down = Math.floor(value * 100);
  return value * 8 % 2 === 1 ? ((down + down % 2) / 100).toFixed(2) : value.toFixed(2);
}

function clock(seconds, point) {
  const all = Math.round(seconds * 1000), two = (value) => String(Math.floor(value)).padStart(2, "0");
  return `${two(all / 3_600_000)}:${two(all / 60_000 % 60)}:${two(all / 1000 % 60)}${point}${String(all % 1000).padStart(3, "0")}`;
}

export const srt = (row) => captions(row).map(([start, end, text], i) => `${i + 1}\n${clock(start, ",")} --> ${clock(end, ",")}\n${text}\n`).join("\n");
const MARKS = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
export const vtt = (row) => `WEBVTT\n\n${captions(row).map(([start, end, text]) => `${clock(start, ".")} --> ${clock(end, ".")}\n${text.replace(/[&<>]/g, (mark) => MARKS[mark])}\n`).join("\n")}`;
