//! What a network can be asked for.

use drdiff_attention::PlanKind;
use drdiff_model::NetworkSpec;

use crate::{Error, Request, Result, Task};

/// Refuses what such a network cannot do; the tokens that the request writes at most, and the size of its blocks.
pub(crate) fn check(request: &Request, spec: &NetworkSpec) -> Result<(usize, usize)> {
    let sizes = request.check(spec.context, spec.vocab)?;
    let settings = &request.settings;
    settings.compute.check(&spec.routing)?;
    let can = spec.capabilities;
    let refuse = |what: &str, remedy: &str| {
        Err(Error::Incapable {
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        })
    };
    if !can.masks {
        if matches!(request.task, Task::Infill(_)) {
            return refuse(
                "it cannot fill gaps: it writes one token behind another",
                "give it a prompt, or name a model with masks",
            );
        }
        if settings.block_size != 1 {
            return refuse(
                "it writes one token behind another",
                "use a block size of 1, or name a model with masks",
            );
        }
        if settings.style_guidance != 1.0 {
            return refuse(
                "it has no masks to take the prompt's place, which guidance needs",
                "leave the guidance out",
            );
        }
    }
    if settings.is_verified() && !(can.masks && can.causal_context) {
        return refuse(
            match can.masks {
                true => "its committed text is not read causally, and so cannot check drafts token by token",
                false => "it has no masks to draft with",
            },
            "choose another commit schedule than `verified`",
        );
    }
    if !can.soft && settings.sampler.process.is_soft() {
        return refuse(
            "it reads tokens and masks and no soft positions",
            "use the process `absorbing`",
        );
    }
    if !can.self_condition && settings.self_condition {
        return refuse("it does not read its last prediction", "leave self-conditioning out");
    }
    if can.causal_context && settings.attention.is_some_and(|plan| plan != PlanKind::Dense) {
        return refuse(
            "its committed text is read causally, by the plan `dense` alone",
            "leave the plan out",
        );
    }
    let (asked, has) = (settings.attention, spec.plan);
    let retrieves = |plan| plan == PlanKind::Retrieval;
    match asked.filter(|asked| retrieves(*asked) != retrieves(has)) {
        Some(asked) => Err(Error::Plan { asked, has }),
        None => Ok(sizes),
    }
}
