// What the buttons and keys do.

import { complete, model, stream, tokens } from "./api.js";
import { Block } from "./block.js";
import { gaps, heat, lock, made, paper, place, put, remember, sides, segments, undo } from "./paper.js";
import * as replay from "./replay.js";

const element = (id) => document.getElementById(id);
const [log, status, cards, colour] = ["log", "status", "cards", "heat"].map(element);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let running = null;
let last = null;

/** What the fields say; what is empty is left to the model. */
function settings(extra = {}) {
  const number = (id) => (element(id).value === "" ? undefined : Number(element(id).value));
  const diffusion = { block_size: number("block_size"), steps: number("passes"), ...extra };
  return { max_tokens: number("tokens"), temperature: number("temperature"), seed: number("seed"), diffusion };
}

/** Does something that Esc ends, one at a time. */
async function run(work) {
  if (running) return;
  running = new AbortController();
  element("stop").disabled = false;
  paper.contentEditable = "false";
  status.textContent = "writing";
  try {
    await work(running.signal);
  } catch (error) {
    status.textContent = error.name === "AbortError" ? "stopped" : error.message;
  } finally {
    running = null;
    element("stop").disabled = true;
    paper.contentEditable = "plaintext-only";
    paper.focus();
    heat(colour.value);
  }
}

/** Tells what a text has cost, and how to get it again. */
function tell(body, start, done, blocks) {
  const rate = done.tokens_committed / Math.max(done.seconds.total - done.seconds.queue, 1e-3);
  const words = [
    `${blocks} blocks`, `${done.nfe} passes`, `${(done.nfe / Math.max(done.tokens_committed, 1)).toFixed(2)} passes a token`,
    `${rate.toFixed(0)} tokens/s`, `seed ${start.seed}`,
  ];
  status.textContent = start.note ? `${words.join(", ")}; ${start.note}` : words.join(", ");
  last = { ...body, seed: start.seed };
  for (const id of ["copy-command", "copy-curl"]) element(id).hidden = false;
}

/** Writes on at the cursor. */
async function write(signal) {
  const range = place();
  range.collapse(false);
  const [prompt] = sides(range);
  const body = { prompt, ...settings({ stream: calm.matches ? "blocks" : "steps" }) };
  remember();
  const draft = document.createElement("span");
  draft.ariaHidden = "true";
  range.insertNode(draft);
  replay.record(prompt);
  let [start, block, blocks] = [null, null, 0];
  try {
    await stream(body, signal, (chunk) => {
      const [told, text] = [chunk.diffusion, chunk.choices[0].text];
      replay.add(told, text);
      if (told.event === "start") {
        start = told;
        block = new Block(told.block_size);
        block.show(draft);
      } else if (told.event === "step") {
        block.step(told);
        block.show(draft);
      } else if (told.event === "block") {
        blocks += 1;
        draft.before(made(text, block.tokens(text)));
        log.append(text);
        block = new Block(start.block_size);
        draft.replaceChildren();
      } else if (told.event === "done") tell(body, start, told, blocks);
    });
  } finally {
    const cursor = document.createRange();
    cursor.setStartBefore(draft);
    draft.remove();
    getSelection().removeAllRanges();
    getSelection().addRange(cursor);
    replay.finish();
  }
}

/** Writes what is selected anew, between what stands around it; locked segments of it stay. */
async function rewrite(signal) {
  const range = place();
  if (range.collapsed) throw new Error("select the words that are to be written anew");
  const [before, after] = sides(range);
  const parts = segments(range);
  const free = parts.filter((part) => !part.locked);
  const lengths = await Promise.all(free.map((part) => tokens(part.text, signal)));
  const { seed, temperature, diffusion } = settings();
  delete diffusion.block_size;
  delete diffusion.steps;
  const apart = (text) => text.replaceAll("[[", "[ [");
  const texts = [];
  let body;
  if (parts.length === 1 && free.length === 1) {
    body = { prompt: before, suffix: after, max_tokens: lengths[0], seed, temperature, diffusion: after ? diffusion : { ...diffusion, stop_at_end: false } };
    const answer = await complete(body, signal);
    texts.push(answer.choices[0].text);
    tell(body, answer.diffusion, answer.diffusion, 1);
  } else {
    const canvas = parts.map((part) => (part.locked ? apart(part.text) : `[[${lengths[free.indexOf(part)]}]]`)).join("");
    const prompt = apart(before.slice(-500)) + canvas + apart(after.slice(0, 500));
    body = { prompt, seed, temperature, diffusion: { ...diffusion, infill: true } };
    const answer = await complete(body, signal);
    texts.push(...answer.diffusion.spans.map((span) => span.text));
    tell(body, answer.diffusion, answer.diffusion, 1);
  }
  remember();
  free.forEach((part, index) => {
    part.range = document.createRange();
    part.range.setStart(...part.start);
    part.range.setEnd(...part.end);
    part.text = texts[index];
  });
  for (const part of free.reverse()) put(part.range, made(part.text));
  log.append(...texts);
}

/** Fills all gaps of the document. */
async function fill(signal) {
  const places = gaps();
  if (!places.length) throw new Error("there is no gap; put one at the cursor");
  const { seed, temperature, diffusion } = settings();
  const body = { prompt: paper.textContent, seed, temperature, diffusion: { infill: true, steps: diffusion.steps } };
  const answer = await complete(body, signal);
  remember();
  const spans = answer.diffusion.spans.map((span) => span.text);
  places.map((range, index) => [range, spans[index]]).reverse().forEach(([range, text]) => put(range, made(text)));
  log.append(...spans);
  tell(body, answer.diffusion, answer.diffusion, 1);
}

/** Writes on in several ways side by side, to take one of. */
async function compare(signal, ways) {
  const range = place();
  range.collapse(false);
  const [prompt] = sides(range);
  cards.replaceChildren();
  await Promise.all(ways.map(async ([title, body]) => {
    const card = document.createElement("article");
    card.className = "card";
    const [head, text, take] = ["h3", "p", "button"].map((name) => document.createElement(name));
    head.textContent = title;
    take.textContent = "Take";
    take.setAttribute("aria-label", `Take: ${title}`);
    card.append(head, text, take);
    cards.append(card);
    take.addEventListener("click", () => {
      remember();
      put(range.cloneRange(), made(text.textContent));
      log.append(text.textContent);
      cards.replaceChildren();
    });
    await stream({ prompt, ...body }, signal, (chunk) => {
      text.append(chunk.choices[0].text);
      const told = chunk.diffusion;
      if (told.event === "done") head.textContent = `${title}: ${told.nfe} passes, ${(told.seconds.total - told.seconds.queue).toFixed(2)} s`;
    });
  }));
  status.textContent = "take one of them";
}

function seedOf(fields) {
  return fields.seed ?? Math.floor(Math.random() * 1e6);
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function command() {
  const { prompt, max_tokens, temperature, seed, diffusion } = last;
  const flags = Object.entries({ seed, tokens: max_tokens, temperature, "block-size": diffusion.block_size, steps: diffusion.steps });
  const given = flags.filter(([, value]) => value !== undefined).map(([flag, value]) => `--${flag} ${value}`);
  const text = last.suffix === undefined ? prompt : `${prompt}[[${max_tokens}]]${last.suffix}`;
  const fills = last.suffix !== undefined || diffusion.infill;
  return `drdiff generate ${fills ? "--infill " : ""}${quoted(text)} ${given.filter((flag) => !fills || !flag.startsWith("--tokens")).join(" ")}`;
}

function curl() {
  return `curl ${location.origin}/v1/completions -H 'content-type: application/json' -d ${quoted(JSON.stringify(last))}`;
}

const actions = {
  write: () => run(write),
  stop: () => running?.abort(),
  rewrite: () => run(rewrite),
  fill: () => run(fill),
  lock: () => { remember(); lock(place()); },
  undo,
  gap: () => { remember(); put(place(), document.createRange().createContextualFragment("[[8]]")); paper.focus(); },
  seeds: () => run((signal) => {
    const seed = seedOf(settings());
    return compare(signal, [0, 1, 2, 3].map((more) => [`seed ${seed + more}`, { ...settings(), seed: seed + more }]));
  }),
  steps: () => run((signal) => {
    const seed = seedOf(settings());
    return compare(signal, [4, 8, 16].map((steps) => [`${steps} steps`, { ...settings({ block_size: 16, steps }), seed }]));
  }),
  "copy-command": () => navigator.clipboard.writeText(command()),
  "copy-curl": () => navigator.clipboard.writeText(curl()),
};
for (const [id, action] of Object.entries(actions)) element(id).addEventListener("click", action);
colour.addEventListener("change", () => heat(colour.value));
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    actions.write();
  }
  if (event.key === "Escape") actions.stop();
});

try {
  const { id, meta } = await model();
  element("model").textContent = `${id}, context ${meta.context}`;
  if (!meta.fills_gaps) {
    for (const field of ["block_size", "passes"]) element(field).value = "";
    for (const button of ["rewrite", "lock", "gap", "fill", "steps"]) element(button).disabled = true;
  }
} catch (error) {
  status.textContent = error.message;
}
