//! Attention over the tree of a text in blocks.

use anyhow::Result;
use candle_core::{Tensor, Var};
use drdiff_attention::{CausalTree, causal_attention};
use drdiff_kernels::{Tape, Value};

/// One call over queries, keys and values, `[batch, n, heads, head_dim]`, with its way back if there is a `tape`.
///
/// # Errors
/// If an operation fails.
pub(super) fn call(qkv: [&Tensor; 3], tree: &CausalTree, tape: Option<&Tape>) -> Result<()> {
    let scale = (qkv[0].dim(3)? as f64).powf(-0.5);
    let learned = |x: &Tensor| -> Result<Value> { Ok(Value::entered(tape, Var::from_tensor(x)?.as_tensor())) };
    let [q, k, v] = qkv.map(learned);
    let out = causal_attention(&q?, &k?, &v?, tree, scale)?;
    if let Some(tape) = tape {
        tape.backward(&out)?;
    }
    Ok(())
}
