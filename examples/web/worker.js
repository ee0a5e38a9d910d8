// Hears beside the page, which so stays at hand: one thing after another, in the order of asking.

import { openRecognizer } from "./recognizer.js";

const opened = openRecognizer(new URL("../model/", import.meta.url), new URL("../vad/vad.onnx", import.meta.url));
let last = opened.catch(() => {});

self.addEventListener("message", ({ data: { id, method, values } }) => {
  last = last.then(async () => {
    try {
      const recognizer = await opened;
      self.postMessage({ id, answer: method === "opened" ? true : await recognizer[method](...values) });
    } catch (error) {
      self.postMessage({ id, problem: error.message });
    }
  });
});
