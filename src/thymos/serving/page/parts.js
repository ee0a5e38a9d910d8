// Small parts that several places show.

import { emotionWord, look } from "./words.js";

export const find = (id) => document.getElementById(id);

// What the browser keeps for the page, in its "localStorage" or "sessionStorage"; whoever blocks them has it forget.
export function kept(where, name) {
  try { return window[where].getItem(name); } catch { return null; }
}

export function keep(where, name, value) {
  try { window[where].setItem(name, value); } catch { /* it holds until the page is left */ }
}

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// A swatch and a word: never a colour alone.
export function emotionTag(emotion, labels, said = emotionWord(emotion)) {
  const tag = element("span", { className: "emotion" });
  if (emotion !== null) {
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = look(emotion, labels).colour;
    tag.append(swatch);
  }
  tag.append(said);
  return tag;
}

export function showLegend(place, labels) {
  place.replaceChildren(...labels.map((label) => {
    const line = element("canvas", { width: 34, height: 12 });
    line.setAttribute("aria-hidden", "true");
    line.style.width = "34px";
    const pen = line.getContext("2d"), { colour, dash } = look(label, labels);
    pen.strokeStyle = colour; pen.lineWidth = 3; pen.setLineDash(dash); pen.moveTo(0, 6); pen.lineTo(34, 6); pen.stroke();
    return element("span", { className: "emotion" }, line, emotionWord(label));
  }));
}

export function save(text, name, mediaType) {
  const address = URL.createObjectURL(new Blob([text], { type: mediaType }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
