//! What each kind of file calls a tensor.

/// Who named the tensors of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// llama.cpp, in GGUF files.
    Gguf,
    /// Hugging Face, in safetensors.
    HuggingFace,
    /// Hugging Face, of Gemma 3: with more norms, whose gains are 1 + weight.
    HuggingFaceGemma,
}

/// A tensor of a Llama-like network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    AttentionNorm,
    Query,
    Key,
    Value,
    QueryNorm,
    KeyNorm,
    Out,
    /// Of what the attention adds.
    AttentionBranchNorm,
    FeedForwardNorm,
    /// Of what the feed-forward layer adds.
    FeedForwardBranchNorm,
    Gate,
    Up,
    Down,
}

impl Style {
    pub(super) fn embedding(self) -> &'static str {
        match self {
            Self::Gguf => "token_embd.weight",
            Self::HuggingFace | Self::HuggingFaceGemma => "model.embed_tokens.weight",
        }
    }

    pub(super) fn final_norm(self) -> &'static str {
        match self {
            Self::Gguf => "output_norm.weight",
            Self::HuggingFace | Self::HuggingFaceGemma => "model.norm.weight",
        }
    }

    pub(super) fn head(self) -> &'static str {
        match self {
            Self::Gguf => "output.weight",
            Self::HuggingFace | Self::HuggingFaceGemma => "lm_head.weight",
        }
    }

    /// The weight of a part of a layer.
    pub(super) fn weight(self, layer: usize, part: Part) -> String {
        self.tensor(layer, part, "weight")
    }

    /// The bias of a part of a layer.
    pub(super) fn bias(self, layer: usize, part: Part) -> String {
        self.tensor(layer, part, "bias")
    }

    fn tensor(self, layer: usize, part: Part, kind: &str) -> String {
        let part = match (self, part) {
            (Self::Gguf, part) => return format!("blk.{layer}.{}.{kind}", part.in_gguf()),
            // The name that others give the norm before the feed-forward layer.
            (Self::HuggingFaceGemma, Part::FeedForwardNorm) => "pre_feedforward_layernorm",
            (_, part) => part.in_hugging_face(),
        };
        format!("model.layers.{layer}.{part}.{kind}")
    }
}

impl Part {
    fn in_gguf(self) -> &'static str {
        match self {
            Self::AttentionNorm => "attn_norm",
            Self::Query => "attn_q",
            Self::Key => "attn_k",
            Self::Value => "attn_v",
            Self::QueryNorm => "attn_q_norm",
            Self::KeyNorm => "attn_k_norm",
            Self::Out => "attn_output",
            Self::AttentionBranchNorm => "post_attention_norm",
            Self::FeedForwardNorm => "ffn_norm",
            Self::FeedForwardBranchNorm => "post_ffw_norm",
            Self::Gate => "ffn_gate",
            Self::Up => "ffn_up",
            Self::Down => "ffn_down",
        }
    }

    fn in_hugging_face(self) -> &'static str {
        match self {
            Self::AttentionNorm => "input_layernorm",
            Self::Query => "self_attn.q_proj",
            Self::Key => "self_attn.k_proj",
            Self::Value => "self_attn.v_proj",
            Self::QueryNorm => "self_attn.q_norm",
            Self::KeyNorm => "self_attn.k_norm",
            Self::Out => "self_attn.o_proj",
            Self::AttentionBranchNorm | Self::FeedForwardNorm => "post_attention_layernorm",
            Self::FeedForwardBranchNorm => "post_feedforward_layernorm",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }
}
