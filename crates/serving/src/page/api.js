// The server as the page asks it.

const key = document.getElementById("key");

/** Shows where the key is typed, which most servers do not want. */
function askKey() {
  key.type = "password";
  document.getElementById("keyed").hidden = false;
}

async function post(path, body, signal) {
  const headers = { "content-type": "application/json" };
  if (key.value) headers.authorization = `Bearer ${key.value}`;
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
  if (response.ok) return response;
  if (response.status === 401) askKey();
  throw new Error((await response.json()).error.message);
}

/** Writes, and calls `take` with each chunk as it comes. */
export async function stream(body, signal, take) {
  const response = await post("v1/completions", { ...body, stream: true }, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const frames = (rest + value).split("\n\n");
    rest = frames.pop();
    for (const frame of frames) {
      if (!frame.startsWith("data: {")) continue;
      const chunk = JSON.parse(frame.slice(6));
      if (chunk.error) throw new Error(chunk.error.message);
      take(chunk);
    }
  }
}

/** The answer in one piece. */
export async function complete(body, signal) {
  return (await post("v1/completions", body, signal)).json();
}

/** How many tokens a text has; at least one. */
export async function tokens(text, signal) {
  const answer = await (await post("tokenize", { prompt: text, add_special_tokens: false }, signal)).json();
  return Math.max(answer.count, 1);
}

/** What is known of the model. */
export async function model() {
  const headers = key.value ? { authorization: `Bearer ${key.value}` } : {};
  const response = await fetch("v1/models", { headers });
  if (response.status === 401) askKey();
  if (!response.ok) throw new Error((await response.json()).error.message);
  return (await response.json()).data[0];
}
