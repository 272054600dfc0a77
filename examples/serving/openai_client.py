"""Writes with a server of `drdiff serve` through the package `openai`.

    drdiff serve
    pip install openai
    python examples/serving/openai_client.py http://127.0.0.1:8080/v1 "The old house"
"""

import sys

from openai import OpenAI

url, prompt = sys.argv[1:]
client = OpenAI(base_url=url, api_key="none")
model = client.models.list().data[0].id

# The same seed gives the same text, in one piece ...
plain = client.completions.create(model=model, prompt=prompt, max_tokens=24, seed=7)
print(plain.choices[0].text)

# ... and while it is written. `extra_body` has what only diffusion models have: blocks, steps, provisional text.
streamed = ""
drafts = 0
for chunk in client.completions.create(
    model=model,
    prompt=prompt,
    max_tokens=24,
    seed=7,
    stream=True,
    stream_options={"include_usage": True},
    extra_body={"diffusion": {"stream": "steps", "interval_ms": 0}},
):
    if not chunk.choices:
        assert chunk.usage == plain.usage, chunk
        continue
    streamed += chunk.choices[0].text
    drafts += chunk.diffusion["event"] == "step"
assert streamed == plain.choices[0].text, streamed
assert drafts > 0

# The text before a suffix.
filled = client.completions.create(model=model, prompt="It was ", suffix=" when the door opened.", max_tokens=8, seed=7)
assert filled.usage.completion_tokens == 8, filled

# An answer in a conversation.
chat = client.chat.completions.create(
    model=model, messages=[{"role": "user", "content": prompt}], max_completion_tokens=24, seed=7
)
assert chat.choices[0].message.content, chat
print(f"passes: {plain.diffusion['nfe']}, seed: {plain.diffusion['seed']}", file=sys.stderr)
