//! Attention plans on the command line.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use drdiff_attention::PlanKind;

/// Reads the name of a plan.
pub(crate) fn plans() -> impl TypedValueParser<Value = PlanKind> {
    let names = PlanKind::ALL.map(PlanKind::name);
    PossibleValuesParser::new(names).map(|typed| {
        let found = PlanKind::ALL.into_iter().find(|kind| kind.name() == typed);
        found.expect("only names of plans are possible values")
    })
}
