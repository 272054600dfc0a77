// Writes with a server of `drdiff serve` through the package `openai` of npm.
//
//     npm install openai
//     node examples/serving/client.mjs http://127.0.0.1:8080/v1 "The old house"
import OpenAI from "openai";

const [baseURL, prompt] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none" });
const wanted = { model: "drdiff", prompt, max_tokens: 24, seed: 7 };
const plain = await client.completions.create(wanted);
let streamed = "";
for await (const chunk of await client.completions.create({ ...wanted, stream: true })) {
  streamed += chunk.choices[0].text;
}
if (streamed !== plain.choices[0].text) throw new Error(`the stream wrote ${JSON.stringify(streamed)}`);

// Who stops reading stops the writing.
const long = await client.chat.completions.create({
  model: "drdiff",
  messages: [{ role: "user", content: prompt }],
  max_tokens: 4000,
  stream: true,
});
for await (const chunk of long) {
  if (chunk.choices[0].delta.content) break;
}
console.log(plain.choices[0].text);
