"""Writes with a server of `drdiff serve` through LangChain.

    pip install langchain-openai
    python examples/serving/langchain_client.py http://127.0.0.1:8080/v1 "The old house"
"""

import sys

from langchain_openai import ChatOpenAI, OpenAI

url, prompt = sys.argv[1:]
settings = {"base_url": url, "api_key": "none", "model": "drdiff", "seed": 7, "max_tokens": 24}
writer = OpenAI(**settings)
text = writer.invoke(prompt)
assert "".join(writer.stream(prompt)) == text, text
assert writer.batch([prompt, "Once upon a time"])[0] == text
chat = ChatOpenAI(**settings)
assert "".join(part.content for part in chat.stream(prompt)) == chat.invoke(prompt).content
print(text)
