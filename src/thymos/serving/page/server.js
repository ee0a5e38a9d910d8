// What is asked of the server. Addresses are relative, so that a proxy may put the page under any path.
// The static page has a module of the same face in this one's place, examples/web/server.js: tests/test_page_face.py.

import { keep, kept } from "./parts.js";
import { word } from "./words.js";

let token = kept("sessionStorage", "token");
let askToken = async () => null;
let asking = null; // people are asked once, however many requests need it

// What not every module of this face can do, as `data-needs` of the page names it.
export const CAN = { explain: true, speakers: true };
export class Problem extends Error {}
/** @returns {void} */
export const whenTokenIsNeeded = (ask) => { askToken = ask; };

// A header holds bytes alone, which a letter stands for each.
const inBytes = (text) => String.fromCharCode(...new TextEncoder().encode(text));

async function ask(address, options = {}) {
  for (;;) {
    const used = token, headers = { ...options.headers, ...(used ? { Authorization: `Bearer ${inBytes(used)}` } : {}) };
    let answer;
    try { answer = await fetch(address, { ...options, headers }); } catch { throw new Problem(""); }
    if (answer.status === 401) {
      if (token === used) token = await (asking ??= askToken(used !== null).finally(() => { asking = null; }));
      if (token === null) throw new Problem(word("tokenTitle"));
      keep("sessionStorage", "token", token);
      continue;
    }
    if ([429, 503].includes(answer.status) && answer.headers.has("Retry-After")) {
      await new Promise((go) => setTimeout(go, 1000 * Math.min(10, Number(answer.headers.get("Retry-After")) || 1)));
      continue;
    }
    if (!answer.ok) {
      const problem = await answer.json().catch(() => ({ detail: answer.statusText }));
      throw new Problem(problem.detail);
    }
    return answer;
  }
}

/** @returns {Promise<Model[]>} */
export const models = async () => (await (await ask("v1/models")).json()).models;

function predictAddress(choice, more) {
  const given = Object.entries({ ...choice, ...more }).filter(([, value]) => value !== undefined && value !== null);
  return `v1/predict?${new URLSearchParams(given)}`;
}

// The rows of one recording: what `thymos predict --format jsonl` says of it, or of each channel or voice, with windows.
/** @returns {Promise<Row[]>} */
export async function predict(blob, choice, more = { timeline: true, windows: true }) {
  const answer = await ask(predictAddress(choice, more), { method: "POST", body: blob, headers: { "Content-Type": "application/octet-stream" } });
  return (await answer.text()).trim().split("\n").map((line) => JSON.parse(line));
}

// The same as text of another format, in which the recording has its name.
/** @returns {Promise<string>} */
export async function predictAs(blob, name, choice, mediaType, more = {}) {
  const form = new FormData();
  form.append("file", blob, name);
  return (await ask(predictAddress(choice, more), { method: "POST", body: form, headers: { Accept: mediaType } })).text();
}

// A live stream: `events` gets each message; returns functions that send samples and end it.
/** @returns {{send: (samples: Float32Array) => void, end: () => void}} */
export function stream(session, events, closed) {
  const address = new URL("v1/stream", document.baseURI);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => socket.send(JSON.stringify({ type: "session.update", session: { ...session, ...(token ? { token } : {}) } }));
  socket.onmessage = (message) => events(JSON.parse(message.data));
  socket.onclose = () => closed();
  const isOpen = () => socket.readyState === WebSocket.OPEN;
  return {
    send: (samples) => { if (isOpen()) socket.send(samples); },
    end: () => { if (isOpen()) socket.send(JSON.stringify({ type: "session.end" })); else socket.close(); },
  };
}
