// The page: what people do, and what follows.

import { showCard } from "./card.js";
import { draw, show, shownItem } from "./detail.js";
import { isListening, listen, redraw, stop } from "./live.js";
import { element, emotionTag, find, keep, kept, save } from "./parts.js";
import { CAN, models, predict, predictAs, whenTokenIsNeeded } from "./server.js";
import { openMicrophone, wavOf } from "./sound.js";
import { answerOf, flagWord, language, partWord, reasonOf, setLanguage, word } from "./words.js";

// As src/thymos/audio/containers.py has them.
const SOUND = ".wav .wave .rf64 .bw64 .w64 .flac .ogg .oga .opus .spx .ogv .mp3 .mp2 .mpga .aif .aiff .aifc .au .snd .sph .caf .m4a .m4b .m4r .mp4 .m4v .mov .qt .qta .3gp .3ga .3g2 .webm .weba .mkv .mka .aac .amr .wma .wmv .asf .avi .flv .mpg .mpeg .mts .m2ts".split(" ");
const isSound = (name) => SOUND.some((suffix) => name.toLowerCase().endsWith(suffix));

let offered = [];
let asked = null;
let items = [];
let made = 0;
let recording = null;

// --- what is chosen ---

// What hears: people may choose files, or speak, before that is known. Where it cannot be told, it is asked for again once needed.
const known = () => (asked ??= offer().catch((error) => { asked = null; throw error; }));

async function offer() {
  offered = await models();
  find("model").replaceChildren(...offered.map((each) => element("option", { value: each.name, textContent: each.name })));
  showLabels();
  showCard(find("card"), model());
  document.documentElement.dataset.ready = "true";
}

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
const fail = (text) => { find("problem").textContent = text; };

// --- recordings ---

async function hearAll(recordings) {
  fail("");
  const fresh = recordings.map(({ blob, name }) => ({ number: (made += 1), blob, name, round: null, rows: null, labels: [] }));
  items.push(...fresh);
  await hear(fresh);
  await showFirst(fresh);
}

async function showFirst(some) {
  const first = some.find((item) => isHeard(item) && items.includes(item));
  if (first) await show(first);
  showTable();
}

const isHeard = (item) => item.rows !== null && item.rows.some((row) => !row.error);

async function hear(some) {
  const round = {}, asking = known().then(() => ({ choice: choice(), labels: ticked() }));
  let bad = 0;
  for (const item of some) item.round = round; // what is heard anew meanwhile, or cleared, takes no older answer
  showTable();
  for (const [place, item] of some.entries()) {
    say("hearing", place + 1, some.length);
    const told = await asking.then(async (given) => ({ ...given, rows: await predict(item.blob, given.choice) })).catch((error) => ({ rows: [{ error: reasonOf(error) }] }));
    if (item.round !== round) return;
    Object.assign(item, told, { round: null, explained: new Map() });
    bad += Number(!isHeard(item));
    if (item === shownItem()) show(isHeard(item) ? item : null);
    showTable();
  }
  if (items.every((item) => item.round === null)) say("heard", some.length - bad, bad);
}

// Other labels or another model: all is heard anew.
async function again() {
  if (!items.length) return;
  await hear([...items]);
  if (!shownItem()) await showFirst(items);
}

function showTable() {
  const focused = document.activeElement?.closest("#rows button")?.dataset.of;
  find("results").hidden = items.length === 0;
  for (const button of document.querySelectorAll("#export-all [data-export]")) button.disabled = !items.some(isHeard);
  find("rows").replaceChildren(...items.flatMap((item) => (item.rows ?? [null]).map((row) => {
    const { labels } = item, line = element("tr"), part = row === null ? "" : partWord(row), name = part ? `${item.name} · ${part}` : item.name;
    line.className = item === shownItem() ? "shown" : "";
    if (row === null || row.error) {
      line.append(element("td", { textContent: name }), element("td", { colSpan: 5, className: row ? "problem" : "", textContent: row?.error ?? "…" }));
      return line;
    }
    const open = element("button", { type: "button", textContent: name });
    open.dataset.of = `${item.number} ${part}`;
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
  if (focused) find("rows").querySelector(`[data-of="${focused}"]`)?.focus({ preventScroll: true });
}

// A cell that tells its column where there is no room for a head; one whose words say it, null.
function named(column, properties) {
  const cell = element("td", properties);
  if (column) cell.dataset.column = word(column);
  return cell;
}

// --- files ---

function take(files, fromFolder) {
  const chosen = [...files].filter((file) => !fromFolder || isSound(file.name));
  if (!chosen.length) { if (fromFolder) fail(word("folderEmpty")); return; }
  hearAll(chosen.map((file) => ({ blob: file, name: file.webkitRelativePath || file.name })));
}

async function filesOf(entry, within = "") {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    return !within || isSound(file.name) ? [{ blob: file, name: within + file.name }] : [];
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
  const told = await Promise.allSettled(entries.map((entry) => filesOf(entry)));
  const found = told.flatMap(({ value }) => value ?? []), refused = told.find(({ reason }) => reason);
  if (found.length) hearAll(found);
  if (refused) fail(reasonOf(refused.reason)); else if (!found.length) fail(word("folderEmpty"));
});

// --- the microphone ---

const PRESSED = { record: ["record", "stopRecording"], listen: ["listen", "stopListening"] };

function press(id, is, key = PRESSED[id][Number(is)]) {
  find(id).setAttribute("aria-pressed", String(is));
  const words = find(id).querySelector("[data-text]");
  words.dataset.text = key;
  words.textContent = word(key);
}

// While the microphone is being opened or closed, a second press would be of what the first is about to change.
function whenPressed(id, work) {
  let busy = false;
  find(id).addEventListener("click", async () => {
    if (busy) return;
    busy = true;
    fail("");
    try { await work(); } catch (error) { fail(reasonOf(error)); }
    busy = false;
  });
}

async function record() {
  const blocks = [], own = { blocks };
  own.microphone = await openMicrophone((block) => blocks.push(block), async () => {
    if (recording !== own) return;
    await endRecording();
    fail(word("microphoneLost"));
  });
  recording = own;
  press("record", true);
}

async function endRecording() {
  const { microphone, blocks } = recording, now = new Date();
  recording = null;
  press("record", false);
  await microphone.close();
  now.setMinutes(now.getMinutes() - now.getTimezoneOffset()); // the clock's time here, written as UTC is
  const name = `${word("recording")} ${now.toISOString().slice(0, 19).replace("T", " ").replaceAll(":", ".")}.wav`;
  hearAll([{ blob: wavOf(blocks, microphone.rate), name }]);
}

whenPressed("record", () => (recording ? endRecording() : record()));

whenPressed("listen", async () => {
  if (isListening()) { press("listen", false); await stop(); return; }
  await known();
  await listen(choice(), ticked(), (text) => { press("listen", false); fail(text); });
  press("listen", true);
});

// --- what can be taken along ---

const TYPES = { csv: "text/csv", textgrid: "text/praat-textgrid", srt: "application/x-subrip", vtt: "text/vtt", json: "application/jsonl" };
const SUFFIXES = { csv: "csv", textgrid: "TextGrid", srt: "srt", vtt: "vtt", json: "jsonl" };

// The server writes the formats, so that they are those of the command line; of all as of the first, since a table has one
// head, and some may just be heard anew.
async function texts(some, kind) {
  if (kind === "json") return some.flatMap((item) => item.rows.map((row) => jsonLine(item, row))).join("");
  let text = "";
  const [{ choice: given }] = some;
  for (const item of some) {
    const own = await predictAs(item.blob, item.name, given, TYPES[kind]);
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
  try { save(await texts(some, kind), `${name}.${SUFFIXES[kind]}`, TYPES[kind]); } catch (error) { fail(reasonOf(error)); }
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
find("clear").addEventListener("click", async () => { for (const item of items) item.round = null; items = []; await show(null); showTable(); say(); fail(""); find("files").focus(); });

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

find("language").addEventListener("change", (event) => { keep("localStorage", "language", event.target.value); speak(event.target.value); });
// Pictures have the colours of when they were drawn.
function drawAll() {
  draw();
  redraw();
}

find("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  keep("localStorage", "theme", root.dataset.theme);
  drawAll();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
find("about-open").addEventListener("click", () => find("about").showModal());
find("law-open").addEventListener("click", () => find("law").showModal());
find("model").addEventListener("change", () => { showLabels(); showCard(find("card"), model()); again(); });
for (const id of ["channels", "vad", "shortest"]) find(id).addEventListener("change", () => (find(id).checkValidity() ? again() : find(id).reportValidity()));
whenTokenIsNeeded((another) => new Promise((given) => {
  const dialog = find("token");
  dialog.returnValue = ""; // as Escape leaves it
  dialog.addEventListener("close", () => given(dialog.returnValue ? find("token-value").value : null), { once: true });
  find("token-wrong").hidden = !another;
  dialog.showModal();
}));

for (const place of [document, find("part").content]) {
  for (const part of place.querySelectorAll("[data-needs]")) if (!CAN[part.dataset.needs]) part.remove();
}
if (kept("localStorage", "theme")) document.documentElement.dataset.theme = kept("localStorage", "theme");
speak(kept("localStorage", "language") ?? navigator.language.slice(0, 2));
known().catch((error) => fail(reasonOf(error)));
