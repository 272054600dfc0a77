// The last text once more, pass by pass.

import { Block } from "./block.js";

const [section, scene, at, play] = ["replay", "scene", "at", "play"].map((id) => document.getElementById(id));
let events = [];
let timer = null;

/** Begins to record a text behind `prompt`. */
export function record(prompt) {
  events = [{ event: "start", text: prompt }];
}

/** Adds an event of it. */
export function add(event, text) {
  events.push({ ...event, text });
}

/** Shows the replay from now on. */
export function finish() {
  section.hidden = !events.some((event) => event.event === "step");
  at.max = events.length - 1;
  at.value = at.max;
  show();
}

/** The text after so many events, and the block that is open then. */
function after(count, size) {
  let [text, block] = ["", new Block(size)];
  for (const event of events.slice(0, count + 1)) {
    if (event.event === "step") block.step(event);
    if (event.event === "start" || event.event === "block") text += event.text;
    if (event.event === "block") block = new Block(size);
  }
  return [text, block];
}

function show() {
  const size = events.find((event) => event.block_size)?.block_size ?? 0;
  const [text, block] = after(Number(at.value), size);
  const open = document.createElement("span");
  if (Number(at.value) < events.length - 1) block.show(open);
  scene.replaceChildren(text, open);
}

function stop() {
  clearInterval(timer);
  timer = null;
  play.textContent = "Play";
}

at.addEventListener("input", show);
play.addEventListener("click", () => {
  if (timer) return stop();
  play.textContent = "Pause";
  if (Number(at.value) >= Number(at.max)) at.value = 0;
  timer = setInterval(() => {
    if (Number(at.value) >= Number(at.max)) return stop();
    at.value = Number(at.value) + 1;
    show();
  }, 100);
});

document.getElementById("save").addEventListener("click", () => {
  const frames = events.map((_, index) => {
    const [text, block] = after(index, events.find((event) => event.block_size)?.block_size ?? 0);
    return text + (index < events.length - 1 ? block.open.map((token) => token.text).join("") : "");
  });
  // No text can end the script that it stands in.
  const data = JSON.stringify(frames).replaceAll("<", "\\u003c");
  const page = `<!doctype html><meta charset="utf-8"><title>A text as it became clear</title>
<p id="text" style="white-space: pre-wrap; max-width: 40rem; font: 1rem/1.6 serif"></p><input id="at" type="range" min="0" aria-label="Pass">
<script>const frames = ${data}; at.max = frames.length - 1; at.value = 0;
const show = () => { text.textContent = frames[at.value]; }; at.oninput = show; show();
const timer = setInterval(() => { if (+at.value >= +at.max) clearInterval(timer); else { at.value = +at.value + 1; show(); } }, 100);</script>`;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([page], { type: "text/html" }));
  link.download = "drdiff.html";
  link.click();
  URL.revokeObjectURL(link.href);
});
