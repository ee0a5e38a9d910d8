// The page: what people do, and what follows.

import { showCard } from "./card.js";
import { draw, show, shownItem } from "./detail.js";
import { isListening, listen, redraw, stop } from "./live.js";
import { element, emotionTag, find, save } from "./parts.js";
import { CAN, models, predict, predictAs, whenTokenIsNeeded } from "./server.js";
import { openMicrophone, wavOf } from "./sound.js";
import { answerOf, flagWord, language, partWord, setLanguage, word } from "./words.js";

const SOUND = /\.(wav|flac|og[ga]|opus|mp3|aiff?|au|w64|m4[abv]|mp4|mov|3g[p2]|aac|amr|web[ma]|mk[va]|wm[av]|asf|avi|flv|mpe?g|m2?ts|ogv|spx|caf)$/i;

let offered = [];
let arrived;
const known = new Promise((done) => { arrived = done; }); // what hears; people may choose files, or speak, before that
let items = [];
let made = 0;
let recording = null;

// --- what is chosen ---

const model = () => offered.find((each) => each.name === find("model").value) ?? offered[0];
const ticked = () => [...find("labels").querySelectorAll("input:checked")].map((box) => box.value);

function choice() {
  const labels = ticked();
  const apart = find("channels").value, number = (id) => (find(id).value === "" || !find(id).checkValidity() ? null : Number(find(id).value));
  return {
    model: model().name, labels: labels.length === model().labels.length ? null : labels.join(","),
    channels: apart === "split" ? "split" : null, speakers: apart === "speakers" ? 2 : null,
    vad_threshold: number("vad"), shortest: number("shortest"),
  };
}

function showLabels() {
  find("labels").replaceChildren(...model().labels.map((label) => {
    const box = element("input", { type: "checkbox", value: label, checked: true });
    box.addEventListener("change", () => {
      if (ticked().length >= 2) { fail(""); again(); } else { box.checked = true; fail(word("twoLabels")); }
    });
    return element("label", {}, box, emotionTag(label, model().labels));
  }));
}

// --- what is said ---

let said = () => "";
const say = (...what) => { said = () => (what.length ? word(...what) : ""); find("status").textContent = said(); };
const fail = (text) => { find("problem").textContent = text === "" ? "" : text || word("connectionLost"); };

// --- recordings ---

async function hearAll(recordings) {
  fail("");
  const fresh = recordings.map(({ blob, name }) => ({ number: (made += 1), blob, name, rows: null, labels: [] }));
  items.push(...fresh);
  await hear(fresh);
  const first = fresh.find(isHeard);
  if (first) await show(first);
  showTable();
}

const isHeard = (item) => item.rows !== null && item.rows.some((row) => !row.error);

async function hear(some) {
  let bad = 0;
  say("hearing", 1, some.length);
  await known;
  const asked = choice(), labels = ticked();
  for (const item of some) item.asked = asked; // who is asked anew meanwhile takes no older answer
  for (const [place, item] of some.entries()) {
    if (item.asked !== asked) return;
    say("hearing", place + 1, some.length);
    const rows = await predict(item.blob, asked).catch((error) => [{ error: error.message || word("connectionLost") }]);
    if (item.asked !== asked) return;
    bad += Number(rows.every((row) => row.error));
    Object.assign(item, { rows, labels, choice: asked, explained: new Map() });
    showTable();
  }
  say("heard", some.length - bad, bad);
}

// Other labels or another model: all is heard anew.
async function again() {
  if (!items.length) return;
  await hear(items);
  const item = shownItem();
  if (item) await show(isHeard(item) ? item : null);
  showTable();
}

function showTable() {
  find("results").hidden = items.length === 0;
  find("rows").replaceChildren(...items.flatMap((item) => (item.rows ?? [null]).map((row) => {
    const { labels } = item, line = element("tr"), part = row === null ? "" : partWord(row), name = part ? `${item.name} · ${part}` : item.name;
    line.className = item === shownItem() ? "shown" : "";
    if (row === null || row.error) {
      line.append(element("td", { textContent: name }), element("td", { colSpan: 5, className: row ? "problem" : "", textContent: row?.error ?? "…" }));
      return line;
    }
    const open = element("button", { type: "button", textContent: name });
    if (item === shownItem()) open.setAttribute("aria-current", "true");
    open.addEventListener("click", async () => { await show(item); showTable(); find("detail").scrollIntoView({ block: "start" }); });
    const { emotion, sure, others } = answerOf(row);
    line.append(
      element("td", {}, open), element("td", {}, emotionTag(emotion, labels)), element("td", { className: "number", textContent: sure }),
      named(row.long ? null : "columnSet", { textContent: others }),
      named("columnSpeech", { className: "number", textContent: word("seconds", row.speech_s.toFixed(1)) }),
      named("columnFlags", { textContent: row.flags.map(flagWord).join(", ") }),
    );
    return line;
  })));
}

// A cell that tells its column where there is no room for a head; one whose words say it, null.
function named(column, properties) {
  const cell = element("td", properties);
  if (column) cell.dataset.column = word(column);
  return cell;
}

// --- files ---

function take(files, fromFolder) {
  const chosen = [...files].filter((file) => !fromFolder || SOUND.test(file.name));
  if (!chosen.length) { if (fromFolder) fail(word("folderEmpty")); return; }
  hearAll(chosen.map((file) => ({ blob: file, name: file.webkitRelativePath || file.name })));
}

async function filesOf(entry, within = "") {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    return !within || SOUND.test(file.name) ? [{ blob: file, name: within + file.name }] : [];
  }
  const reader = entry.createReader(), found = [];
  for (;;) {
    const entries = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!entries.length) break;
    for (const each of entries.sort((a, b) => a.name.localeCompare(b.name))) found.push(...await filesOf(each, `${within}${entry.name}/`));
  }
  return found;
}

for (const id of ["files", "folder"]) {
  find(id).addEventListener("change", (event) => { take(event.target.files, id === "folder"); event.target.value = ""; });
}
const drop = find("drop");
document.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) { take(event.dataTransfer.files, false); return; }
  const found = (await Promise.all(entries.map((entry) => filesOf(entry)))).flat();
  if (found.length) hearAll(found); else fail(word("folderEmpty"));
});

// --- the microphone ---

const PRESSED = { record: ["record", "stopRecording"], listen: ["listen", "stopListening"] };

function press(id, is, key = PRESSED[id][Number(is)]) {
  find(id).setAttribute("aria-pressed", String(is));
  const words = find(id).querySelector("[data-text]");
  words.dataset.text = key;
  words.textContent = word(key);
}

async function withMicrophone(work) {
  fail("");
  try { await work(); } catch (error) { fail(word("noMicrophone") + (error.message || error.name)); }
}

find("record").addEventListener("click", () => withMicrophone(async () => {
  if (recording) {
    const { microphone, blocks } = recording;
    recording = null;
    press("record", false);
    await microphone.close();
    const name = `${word("recording")} ${new Date().toISOString().slice(0, 19).replace("T", " ").replaceAll(":", ".")}.wav`;
    await hearAll([{ blob: wavOf(blocks, microphone.rate), name }]);
    return;
  }
  const blocks = [];
  recording = { blocks, microphone: await openMicrophone((block) => blocks.push(block)) };
  press("record", true);
}));

find("listen").addEventListener("click", () => withMicrophone(async () => {
  if (isListening()) { press("listen", false); await stop(); return; }
  await known;
  await listen(choice(), ticked(), (text) => { press("listen", false); fail(text); });
  press("listen", true);
}));

// --- what can be taken along ---

const TYPES = { csv: "text/csv", textgrid: "text/praat-textgrid", srt: "application/x-subrip", vtt: "text/vtt", json: "application/jsonl" };
const SUFFIXES = { csv: "csv", textgrid: "TextGrid", srt: "srt", vtt: "vtt", json: "jsonl" };

// The server writes the formats, so that they are those of the command line.
async function texts(some, kind) {
  if (kind === "json") return some.flatMap((item) => item.rows.map((row) => jsonLine(item, row))).join("");
  let text = "";
  for (const item of some) {
    const own = await predictAs(item.blob, item.name, item.choice, TYPES[kind]);
    text += text && kind === "csv" ? own.slice(own.indexOf("\n") + 1) : own;
  }
  return text;
}

// A row as the command line has it: with the name that the server was not told, and without the windows.
function jsonLine(item, row) {
  const told = Object.entries(row).filter(([key]) => key !== "file" && key !== "windows");
  return `${JSON.stringify({ file: `${item.name}${(row.file ?? "-").slice(1)}`, ...Object.fromEntries(told) })}\n`;
}

async function exported(some, kind, name) {
  try { save(await texts(some, kind), `${name}.${SUFFIXES[kind]}`, TYPES[kind]); } catch (error) { fail(error.message); }
}

for (const button of document.querySelectorAll("#export-all [data-export]")) {
  button.addEventListener("click", () => exported(items.filter(isHeard), button.dataset.export, "thymos"));
}
for (const button of document.querySelectorAll("#export-one [data-export]")) {
  button.addEventListener("click", async () => {
    const item = shownItem(), kind = button.dataset.export, stem = item.name.split("/").at(-1).replace(/\.[^.]*$/, "");
    const channels = kind === "json" ? [] : item.rows.map((row) => row.channel).filter(Boolean);
    if (!channels.length) await exported([item], kind, stem);
    // A file for each channel, named as the command line names them.
    for (const channel of channels) await exported([{ ...item, choice: { ...item.choice, channels: channel } }], kind, `${stem}.channel${channel}`);
  });
}
find("clear").addEventListener("click", async () => { items = []; await show(null); showTable(); say(); fail(""); find("files").focus(); });

// --- language, light, dialogs ---

function speak(name) {
  setLanguage(name);
  find("language").value = language();
  if (offered.length) { const kept = ticked(); showLabels(); for (const box of find("labels").querySelectorAll("input")) box.checked = kept.includes(box.value); showCard(find("card"), model()); }
  showTable();
  find("status").textContent = said();
  for (const [id, is] of [["record", recording], ["listen", isListening()]]) press(id, Boolean(is));
  const item = shownItem();
  if (item) show(item);
  redraw();
}

find("language").addEventListener("change", (event) => { localStorage.setItem("language", event.target.value); speak(event.target.value); });
// Pictures have the colours of when they were drawn.
function drawAll() {
  draw();
  redraw();
}

find("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
  drawAll();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
find("about-open").addEventListener("click", () => find("about").showModal());
find("law-open").addEventListener("click", () => find("law").showModal());
find("model").addEventListener("change", () => { showLabels(); showCard(find("card"), model()); again(); });
for (const id of ["channels", "vad", "shortest"]) find(id).addEventListener("change", () => (find(id).checkValidity() ? again() : find(id).reportValidity()));
whenTokenIsNeeded(() => new Promise((given) => {
  find("token").addEventListener("close", () => given(find("token-value").value || null), { once: true });
  find("token").showModal();
}));

for (const place of [document, find("part").content]) {
  for (const part of place.querySelectorAll("[data-needs]")) if (!CAN[part.dataset.needs]) part.remove();
}
if (localStorage.getItem("theme")) document.documentElement.dataset.theme = localStorage.getItem("theme");
speak(localStorage.getItem("language") ?? navigator.language.slice(0, 2));
try {
  offered = await models();
  find("model").replaceChildren(...offered.map((each) => element("option", { value: each.name, textContent: each.name })));
  showLabels();
  showCard(find("card"), model());
  document.documentElement.dataset.ready = "true";
  arrived();
} catch (error) { fail(error.message); }
