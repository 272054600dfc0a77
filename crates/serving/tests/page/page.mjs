// Drives the page in a browser through chromedriver, and fails with what is wrong.
//
//     node page.mjs CHROMEDRIVER_URL SERVER_URL PICTURES [AXE]
import { readFileSync, writeFileSync } from "node:fs";

const [driver, server, pictures, axe] = process.argv.slice(2);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

async function send(method, path, body) {
  const response = await fetch(driver + path, { method, body: body === undefined ? undefined : JSON.stringify(body) });
  const { value } = await response.json();
  if (value?.error) throw new Error(`${path}: ${value.message}`);
  return value;
}

const args = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1000,900"];
const capabilities = { alwaysMatch: { "goog:chromeOptions": { args, binary: "/usr/bin/chromium" }, "goog:loggingPrefs": { browser: "ALL" } } };
const { sessionId } = await send("POST", "/session", { capabilities });
const at = (path) => `/session/${sessionId}${path}`;
const script = (text, ...args) => send("POST", at("/execute/sync"), { script: text, args });
const text = () => script("return paper.textContent");
const click = (id) => script("document.getElementById(arguments[0]).click()", id);
const check = (is, words) => { if (!is) throw new Error(words); };

async function until(words, is) {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await is()) return;
    await wait(20);
  }
  throw new Error(`it never came: ${words}; the page says ${await script("return document.getElementById('status').textContent")}`);
}

const idle = () => script("return document.getElementById('stop').disabled");
const running = async () => Number(/^drdiff_requests_running (\d+)/m.exec(await (await fetch(`${server}/metrics`)).text())[1]);

/** The document is `before`, what is selected, and `after`. */
const select = (before, inside, after) => script(`
  paper.replaceChildren(arguments[0] + arguments[1] + arguments[2]);
  const range = document.createRange();
  range.setStart(paper.firstChild, arguments[0].length);
  range.setEnd(paper.firstChild, arguments[0].length + arguments[1].length);
  getSelection().removeAllRanges();
  getSelection().addRange(range);`, before, inside, after);

async function picture(name) {
  writeFileSync(`${pictures}/${name}.png`, Buffer.from(await send("GET", at("/screenshot")), "base64"));
}

async function accessible(state) {
  if (!axe) return;
  await script(readFileSync(axe, "utf8") + "; window.axe = axe;");
  const found = await send("POST", at("/execute/async"), { script: "axe.run().then((found) => arguments[0](found.violations.map((one) => one.id + ': ' + one.nodes[0].html)))", args: [] });
  check(found.length === 0, `axe, ${state}: ${found.join("; ")}`);
}

try {
  await send("POST", at("/timeouts"), { script: 60000 });
  await send("POST", at("/url"), { url: `${server}/` });
  await until("the model's name", () => script("return document.getElementById('model').textContent !== ''"));
  await accessible("at the beginning");

  // Text appears while the stream runs, and nothing provisional is read aloud.
  await script("document.getElementById('seed').value = 7; document.getElementById('tokens').value = 400; paper.textContent = 'The old house'; paper.focus();");
  await script("const range = document.createRange(); range.selectNodeContents(paper); range.collapse(false); getSelection().removeAllRanges(); getSelection().addRange(range);");
  await send("POST", at("/actions"), { actions: [{ type: "key", id: "keys", actions: [["keyDown", "\uE009"], ["keyDown", "\uE007"], ["keyUp", "\uE007"], ["keyUp", "\uE009"]].map(([type, value]) => ({ type, value })) }] });
  await until("text of a running stream", async () => (await text()).length > 60 && !(await idle()));
  const [log, made] = await script("return [document.getElementById('log').textContent, [...paper.querySelectorAll('.made:not([aria-hidden] *)')].map((one) => one.textContent).join('')]");
  check(made.startsWith(log) || log.startsWith(made), `the log has what is not written: ${log} / ${made}`);
  await picture("writing");
  check((await running()) === 1, "one text is written");

  // Esc ends it, and frees the slot.
  await send("POST", at("/actions"), { actions: [{ type: "key", id: "keys", actions: [{ type: "keyDown", value: "\uE00C" }, { type: "keyUp", value: "\uE00C" }] }] });
  await until("the end after Esc", idle);
  await until("a free slot", async () => (await running()) === 0);
  check(await script("return paper.querySelector('[aria-hidden]') === null"), "no draft is left");
  check((await text()).startsWith("The old house"), "the prompt stays");

  // The whole text is that of the API.
  await script("document.getElementById('tokens').value = 40; paper.textContent = 'The old house'; getSelection().removeAllRanges();");
  await click("write");
  await until("a text", async () => (await idle()) && (await text()).length > 20);
  const settings = { prompt: "The old house", max_tokens: 40, seed: 7, diffusion: { block_size: 8, steps: 8 } };
  const answer = await (await fetch(`${server}/v1/completions`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(settings) })).json();
  check((await text()) === `The old house${answer.choices[0].text}`, `the page wrote ${await text()}, and the API ${answer.choices[0].text}`);
  check(/\d+ passes.*seed 7/.test(await script("return document.getElementById('status').textContent")), "the status tells the passes and the seed");
  check(!(await script("return document.getElementById('replay').hidden")), "there is a replay");
  await script("const at = document.getElementById('at'); at.value = 3; at.dispatchEvent(new Event('input'));");
  check((await script("return document.getElementById('scene').textContent")).startsWith("The old house"), "the replay shows the text");
  for (const by of ["p", "step"]) {
    await script("const heat = document.getElementById('heat'); heat.value = arguments[0]; heat.dispatchEvent(new Event('change'));", by);
    check(await script("return paper.querySelector('.h0, .h1, .h2, .h3') !== null"), `tokens are coloured by ${by}`);
  }
  await picture("light");
  await accessible("behind a text");
  await send("POST", at("/goog/cdp/execute"), { cmd: "Emulation.setEmulatedMedia", params: { features: [{ name: "prefers-color-scheme", value: "dark" }] } });
  await accessible("in the dark");
  await picture("dark");
  await send("POST", at("/goog/cdp/execute"), { cmd: "Emulation.setDeviceMetricsOverride", params: { width: 320, height: 700, deviceScaleFactor: 1, mobile: false } });
  check(await script("return document.documentElement.scrollWidth <= 320"), "it fits into 320 pixels");
  await picture("narrow");
  await send("POST", at("/goog/cdp/execute"), { cmd: "Emulation.clearDeviceMetricsOverride", params: {} });

  // A rewrite keeps both sides, byte for byte.
  const [before, after] = ["Zwölf  \tBoys\nsaw the ", " river, and «went» home.\n"];
  await select(before, "wide and old", after);
  await click("rewrite");
  await until("a rewrite", async () => (await idle()) && (await script("return paper.querySelector('.made') !== null")));
  const rewritten = await text();
  check(rewritten.startsWith(before) && rewritten.endsWith(after), `a side has changed: ${JSON.stringify(rewritten)}`);
  await click("undo");
  check((await text()) === `${before}wide and old${after}`, "it can be taken back");

  // What is locked stays when what is around it is rewritten.
  await select("The cat saw ", "a LOCKED word", " and left.");
  await click("lock");
  check((await script("return paper.querySelector('.locked').textContent")) === "a LOCKED word", "a stretch is locked");
  await script("const range = document.createRange(); range.selectNodeContents(paper); range.setStart(paper.firstChild, 3); getSelection().removeAllRanges(); getSelection().addRange(range);");
  await click("rewrite");
  await until("a rewrite around a lock", async () => (await idle()) && (await script("return paper.querySelectorAll('.made').length >= 2")));
  check(/^The.*a LOCKED word/s.test(await text()), `the lock did not hold: ${await text()}`);

  // Gaps are filled where they are.
  await script("paper.replaceChildren('It was [[6]] when the [[3]] opened.'); getSelection().removeAllRanges();");
  await click("fill");
  await until("filled gaps", async () => (await idle()) && (await script("return paper.querySelectorAll('.made').length === 2")));
  check(/^It was.* when the.* opened\.$/s.test(await text()), `the text around gaps has changed: ${await text()}`);

  // Four seeds and three step counts, of which one is taken.
  await script("document.getElementById('tokens').value = 16;");
  for (const [button, ways] of [["seeds", 4], ["steps", 3]]) {
    await script("paper.replaceChildren('The old house'); getSelection().removeAllRanges();");
    await click(button);
    await until(`${ways} ways`, async () => (await idle()) && (await script("return [...document.querySelectorAll('.card h3')].every((head) => /passes, [\\d.]+ s/.test(head.textContent)) && document.querySelectorAll('.card').length")) === ways);
    if (button === "seeds") await picture("seeds");
    const taken = await script("const card = document.querySelectorAll('.card')[1]; const text = card.querySelector('p').textContent; card.querySelector('button').click(); return text");
    check((await text()) === `The old house${taken}`, "one of them is taken");
  }

  const complaints = (await send("POST", at("/se/log"), { type: "browser" })).filter((one) => !one.message.includes("favicon"));
  check(complaints.length === 0, `the console: ${JSON.stringify(complaints)}`);
  console.log("the page writes, stops, rewrites between pinned sides, keeps locks, fills gaps and compares");
} finally {
  await send("DELETE", `/session/${sessionId}`);
}
