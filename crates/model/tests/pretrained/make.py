"""Tiny random Llama, Qwen2, Qwen3 and Gemma 3 with what transformers computes of them: folders beside this file.

Arguments name some of them. Needs torch and transformers; written with torch 2.11.0 (gemma3 with 2.15.0) and transformers 5.24.0.
"""
import json
import pathlib
import sys
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

HERE = pathlib.Path(__file__).parent
SIZES = dict(vocab_size=67, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128, initializer_range=0.3)
LLAMA3 = dict(rope_type="llama3", rope_theta=500.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
MODELS = {
    "llama": (LlamaForCausalLM, LlamaConfig(**SIZES, rms_norm_eps=1e-5, rope_parameters=LLAMA3, tie_word_embeddings=False)),
    "llama-linear": (LlamaForCausalLM, LlamaConfig(**SIZES, rms_norm_eps=1e-5, rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=2.0), tie_word_embeddings=True)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SIZES, rms_norm_eps=1e-6, rope_parameters=dict(rope_type="default", rope_theta=1e6), tie_word_embeddings=True)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SIZES, head_dim=32, rms_norm_eps=1e-6, rope_parameters=dict(rope_type="default", rope_theta=1e6), tie_word_embeddings=False)),
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig(**SIZES, head_dim=32, query_pre_attn_scalar=32, rms_norm_eps=1e-6, sliding_window=64,
               layer_types=["sliding_attention", "full_attention", "sliding_attention"], tie_word_embeddings=True, bos_token_id=None, eos_token_id=None,
               rope_parameters=dict(full_attention=dict(rope_type="default", rope_theta=1e6), sliding_attention=dict(rope_type="default", rope_theta=100.0)))),
}
for name in sys.argv[1:] or MODELS:
    kind, config = MODELS[name]
    torch.manual_seed(7)
    model = kind(config).eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if weight.ndim == 1:
                weight.normal_(0.0 if "bias" in key or name == "gemma3" else 1.0, 0.2)  # gains of Gemma are 1 + weight
            weight.copy_(weight.bfloat16().float())  # the files are in bf16, the reference computes in f32 with the same numbers
    ids = torch.randint(0, SIZES["vocab_size"], (1, 90), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        logits = model(ids).logits[0]
        greedy = model.generate(ids[:, :12], do_sample=False, max_new_tokens=24, eos_token_id=None, pad_token_id=0)[0, 12:]
    folder = HERE / name
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="60KB" if name == "qwen3" else "5GB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    rows = [0, 1, 40, 89]
    golden = dict(ids=ids[0].tolist(), rows=rows, logits=[[round(x, 5) for x in logits[row].tolist()] for row in rows], greedy=greedy.tolist())
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
