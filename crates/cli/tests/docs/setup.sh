#!/usr/bin/env bash
# Files that stand for a reader's own, made in the working folder by the program in `DRDIFF`.
set -eu
told() { seq "$1" "$2" | sed 's/.*/The king number & went to the river, and the cat that had & kittens saw him./'; }
line() { printf '{"text": "%s", "tier": "tales"}\n' "$(told "$1" "$2" | tr '\n' ' ')"; }
mkdir books
for i in $(seq 1 20); do line "$i" $((i + 60)); done | zstd -q > books/a.jsonl.zst
echo "A short note of mine." > notes.txt
echo "The old house stood by the river." > opening.txt
printf 'The old house\nOnce upon a time\n' > prompts.txt
for i in $(seq 1 6); do line $((40 * i)) $((40 * i + 60)); done > held-out.jsonl
cp held-out.jsonl stories.jsonl; cp held-out.jsonl books.jsonl
printf '{"prompt": "The old", "text": " house was old."}\n{"prompt": "", "text": "The king saw a cat."}\n' > a.jsonl
cp a.jsonl b.jsonl
cat > stand-in.yaml <<'END'
model: {vocab: 400, width: 32, embed: 32, layers: 10, heads: 1, kv_heads: 1, head_dim: 32, hidden: 64, context: 1024}
steps: 1
batch: 1
block_sizes: {16: 1}
validation_windows: 1
validation_blocks: [16]
END
"$DRDIFF" data prepare books/a.jsonl.zst -o corpus --vocab 400 -q
vocab=$(grep -o '"vocab_size": *[0-9]*' corpus/manifest.json | head -1 | grep -o '[0-9]*$')
"$DRDIFF" train --config stand-in.yaml --set model.vocab="$vocab" --data corpus -o stand-in -q
"$DRDIFF" export stand-in -o smollm2.gguf
cp stand-in/tokenizer.json .
cp -r stand-in trained
# A template, so that it holds conversations, and the name of another model that the pages write with.
printf '{}' > stand-in/tokenizer_config.json
printf '{%% for message in messages %%}{{ message.content }}\n{%% endfor %%}' > stand-in/chat_template.jinja
mkdir models
cp -r stand-in models/drdiff-tales
# A folder stands for the file of a language model.
cp -r stand-in SmolLM2-135M-Instruct.Q4_1.gguf
