"""Writes a GGUF file with random weights that llama.cpp's diffusion program runs: the speed of an engine needs no model.

    python3 llada_gguf.py FILE.gguf [--layers 12] [--width 768] [--heads 12] [--hidden 2048] [--vocab 50258]

Needs the packages gguf and numpy. Architecture `llada`: a pre-norm transformer with RMSNorm, RoPE and SwiGLU that sees
in both directions, and input and output tables of their own.
"""

import argparse

import gguf
import numpy as np


def byte_alphabet():
    """The 256 characters that stand for bytes in byte-level BPE (GPT-2)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(256) if byte not in printable)
    return [chr(byte) for byte in printable] + [chr(256 + n) for n, _ in enumerate(others)]


def add_vocabulary(writer, vocab):
    letters = byte_alphabet()
    tokens = letters + [f"<{n}>" for n in range(vocab - len(letters) - 1)] + ["<|mask|>"]
    types = [gguf.TokenType.NORMAL] * len(letters)
    types += [gguf.TokenType.UNUSED] * (vocab - len(letters) - 1) + [gguf.TokenType.CONTROL]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    # A byte-level vocabulary must have a merge, even if no text ever needs it.
    writer.add_token_merges([f"{letters[0]} {letters[1]}"])
    writer.add_bos_token_id(len(letters))
    writer.add_eos_token_id(len(letters))
    writer.add_mask_token_id(vocab - 1)
    writer.add_add_bos_token(False)


def add_weights(writer, layers, width, hidden, vocab, rng):
    def matrix(name, rows, columns):
        # GGUF names the columns first; numpy gives the rows first.
        weights = rng.standard_normal((rows, columns), dtype=np.float32) * np.float32(columns**-0.5)
        writer.add_tensor(f"{name}.weight", weights)

    def gain(name):
        writer.add_tensor(f"{name}.weight", np.ones(width, dtype=np.float32))

    matrix("token_embd", vocab, width)
    for layer in range(layers):
        block = f"blk.{layer}"
        gain(f"{block}.attn_norm")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"{block}.{name}", width, width)
        gain(f"{block}.ffn_norm")
        matrix(f"{block}.ffn_gate", hidden, width)
        matrix(f"{block}.ffn_up", hidden, width)
        matrix(f"{block}.ffn_down", width, hidden)
    gain("output_norm")
    matrix("output", vocab, width)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--hidden", type=int, default=2048)
    parser.add_argument("--vocab", type=int, default=50_258)
    parser.add_argument("--context", type=int, default=4096)
    args = parser.parse_args()

    writer = gguf.GGUFWriter(args.file, "llada")
    writer.add_name("random")
    writer.add_context_length(args.context)
    writer.add_embedding_length(args.width)
    writer.add_block_count(args.layers)
    writer.add_feed_forward_length(args.hidden)
    writer.add_head_count(args.heads)
    writer.add_head_count_kv(args.heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(args.width // args.heads)
    writer.add_vocab_size(args.vocab)
    writer.add_causal_attention(False)
    writer.add_diffusion_shift_logits(False)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    add_vocabulary(writer, args.vocab)
    add_weights(writer, args.layers, args.width, args.hidden, args.vocab, np.random.default_rng(0))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
