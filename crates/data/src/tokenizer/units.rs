//! The patterns that cut a text into units, which merges never cross, by the names that GGUF files give them.

/// The units of this program's own tokenizers: contractions, words with their leading space, single digits, runs of line
/// ends, runs of punctuation, other blank space. Unlike GPT-2's pattern it has no look-ahead (which would cost a
/// backtracking engine), keeps `\n\n` in one piece, splits digits, and does not read `'the` as `'t` + `he`.
pub const OWN: &str = r"'(?:s|t|re|ve|m|ll|d)\b| ?\p{L}+| ?\p{N}|\n+| ?[^\s\p{L}\p{N}]+|[^\S\n]+";

const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LING: &str =
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";

/// Patterns in which a letter and a blank behind it never belong to one unit.
pub(super) const SPACES_BEFORE_WORDS: [&str; 4] = [LLAMA_3, QWEN_2, QWEN_35, LING];

/// How a text becomes units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Units {
    /// The pattern of GPT-2.
    Gpt2,
    /// Each digit alone, then the pattern of GPT-2.
    DigitsThenGpt2,
    /// A pattern of its own.
    Pattern(&'static str),
}

/// What the name of a pre-tokenizer stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    pub(super) units: Units,
    /// The original normalises texts to NFC.
    pub(super) nfc: bool,
    /// A unit that is an entry is that entry, whatever the merges say.
    pub(super) ignore_merges: bool,
    /// Plain prompts begin with the start token unless the file says otherwise.
    pub(super) adds_start: bool,
}

/// What `tokenizer.ggml.pre` names; none for a name that is not known here.
pub(super) fn named(pre: &str) -> Option<Named> {
    let plain = |units| Named {
        units,
        nfc: false,
        ignore_merges: false,
        adds_start: false,
    };
    let nfc = |pattern| Named {
        nfc: true,
        ..plain(Units::Pattern(pattern))
    };
    Some(match pre {
        "gpt-2" | "phi-2" => plain(Units::Gpt2),
        "smollm" | "starcoder" | "refact" | "codeshell" => plain(Units::DigitsThenGpt2),
        "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "lfm2" => Named {
            ignore_merges: true,
            adds_start: true,
            ..plain(Units::Pattern(LLAMA_3))
        },
        "smaug-bpe" | "dbrx" => plain(Units::Pattern(LLAMA_3)),
        "qwen2" | "deepseek-r1-qwen" | "megrez" => nfc(QWEN_2),
        "qwen35" => nfc(QWEN_35),
        "bailingmoe" | "bailingmoe2" | "llada-moe" => plain(Units::Pattern(LING)),
        _ => return None,
    })
}
