// The document: text of the writer's, tokens that were written, and segments that are locked.

const paper = document.getElementById("paper");
const past = [];

/** The text up to a place. */
function textUpTo(node, offset) {
  const range = document.createRange();
  range.setStart(paper, 0);
  range.setEnd(node, offset);
  return range.toString();
}

/** What is selected, or the cursor, or the end. */
export function place() {
  const selection = getSelection();
  if (selection.rangeCount && paper.contains(selection.getRangeAt(0).commonAncestorContainer)) {
    return selection.getRangeAt(0).cloneRange();
  }
  const range = document.createRange();
  range.selectNodeContents(paper);
  range.collapse(false);
  return range;
}

/** The texts before and behind a range. */
export function sides(range) {
  const whole = paper.textContent;
  const before = textUpTo(range.startContainer, range.startOffset);
  const to = textUpTo(range.endContainer, range.endOffset).length;
  return [before, whole.slice(to)];
}

/** The segments of a range: what is locked, and what is not. */
export function segments(range) {
  const found = [];
  const walk = document.createTreeWalker(paper, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    if (!range.intersectsNode(node)) continue;
    const from = node === range.startContainer ? range.startOffset : 0;
    const to = node === range.endContainer ? range.endOffset : node.length;
    if (from >= to) continue;
    const locked = Boolean(node.parentElement.closest(".locked"));
    const last = found.at(-1);
    if (last && last.locked === locked) Object.assign(last, { text: last.text + node.data.slice(from, to), end: [node, to] });
    else found.push({ locked, text: node.data.slice(from, to), start: [node, from], end: [node, to] });
  }
  return found;
}

/** Written text as an element: tokens that can be coloured, or one piece. */
export function made(text, tokens) {
  const part = (token) => {
    const span = document.createElement("span");
    span.className = "made";
    span.textContent = token.text;
    if (token.p === undefined) return span;
    Object.assign(span.dataset, { p: token.p, step: token.step });
    span.title = `probability ${token.p.toFixed(2)}, step ${token.step + 1}`;
    return span;
  };
  const fragment = document.createDocumentFragment();
  fragment.append(...(tokens ?? [{ text }]).map(part));
  return fragment;
}

/** Puts something in the place of a range, and the cursor behind it. */
export function put(range, fragment) {
  range.deleteContents();
  const last = fragment.lastChild;
  range.insertNode(fragment);
  if (!last) return;
  const cursor = document.createRange();
  cursor.setStartAfter(last);
  getSelection().removeAllRanges();
  getSelection().addRange(cursor);
}

/** Locks a range, or frees it if it is locked. */
export function lock(range) {
  if (range.collapsed) return;
  const inside = range.commonAncestorContainer;
  const locked = (inside.nodeType === Node.TEXT_NODE ? inside.parentElement : inside).closest(".locked");
  if (locked) {
    locked.classList.remove("locked");
    return;
  }
  const span = document.createElement("span");
  span.className = "locked";
  span.append(range.extractContents());
  for (const inner of span.querySelectorAll(".locked")) inner.classList.remove("locked");
  range.insertNode(span);
}

/** The ranges of all gaps. */
export function gaps() {
  const [nodes, found] = [[], []];
  const walk = document.createTreeWalker(paper, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(), at = 0; node; at += node.length, node = walk.nextNode()) nodes.push([at, node]);
  const spot = (at) => nodes.findLast(([from]) => from <= at);
  for (const match of paper.textContent.matchAll(/\[\[(\d+|…)?\]\]/g)) {
    const [from, to] = [match.index, match.index + match[0].length];
    const range = document.createRange();
    const [[a, first], [b, last]] = [spot(from), spot(to - 1)];
    range.setStart(first, from - a);
    range.setEnd(last, to - b);
    found.push(range);
  }
  return found;
}

/** Remembers the document as it is, to come back to. */
export function remember() {
  past.push([...paper.childNodes].map((node) => node.cloneNode(true)));
  if (past.length > 50) past.shift();
}

/** Goes back to what was remembered last. */
export function undo() {
  const nodes = past.pop();
  if (nodes) paper.replaceChildren(...nodes);
}

/** Colours tokens by their probability or by the step at which they were decided. */
export function heat(by) {
  paper.classList.toggle("heat", by !== "");
  const tokens = [...paper.querySelectorAll(".made[data-p]")];
  const steps = Math.max(1, ...tokens.map((token) => Number(token.dataset.step)));
  for (const token of tokens) {
    const doubt = by === "p" ? 1 - Number(token.dataset.p) : Number(token.dataset.step) / steps;
    token.classList.remove("h0", "h1", "h2", "h3");
    if (by !== "") token.classList.add(`h${Math.min(3, Math.floor(4 * doubt))}`);
  }
}

// Text that a writer has changed is the writer's.
paper.addEventListener("input", () => {
  const node = getSelection().anchorNode;
  const token = (node?.nodeType === Node.TEXT_NODE ? node.parentElement : node)?.closest?.(".made");
  if (!token) return;
  token.classList.remove("made", "h0", "h1", "h2", "h3");
  token.removeAttribute("title");
});

export { paper };
