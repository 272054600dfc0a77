//! What a judge's files hold and this program's Llama does not compute: refused by name, since the network would be another one.

use std::collections::BTreeSet;

/// Asks whether the tensors with these names are all `used` by the network, which has so many layers.
///
/// # Errors
/// In words that complete "it cannot be a judge: …".
pub(super) fn refuse<'a>(
    names: impl Iterator<Item = &'a str>,
    layers: usize,
    used: impl Fn() -> BTreeSet<String>,
) -> Result<(), String> {
    let names: BTreeSet<&str> = names.collect();
    // Before the layers are counted, for a file can name any number of them.
    if layers > names.len() {
        return Err(format!("it names {layers} layers and has {} tensors", names.len()));
    }
    let used = used();
    let Some(name) = names.into_iter().find(|name| !used.contains(*name)) else {
        return Ok(());
    };
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    let what = if has(&["rope_f", "rotary", "rot_embd"]) {
        "its positions are stretched by"
    } else if has(&["bias"]) {
        "its maps have biases,"
    } else if has(&["exps", "expert", "gate_inp"]) {
        "it has routed experts,"
    } else if has(&["norm"]) {
        "it has a norm that is not followed,"
    } else if has(&["lora"]) {
        "it has changes to other weights,"
    } else if has(&["scale", "absmax", "quant", "zeros", "g_idx"]) {
        "its weights are stored in parts,"
    } else {
        "it has a tensor that is not followed,"
    };
    Err(format!("{what} `{name}`"))
}
