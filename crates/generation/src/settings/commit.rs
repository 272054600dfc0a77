//! Commit schedules by the names that the command line takes, such as `entropy-bound:0.2`, or as configuration.

use std::fmt;

use drdiff_solver::CommitSchedule;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) struct CommitName(pub(super) CommitSchedule);

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = CommitSchedule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a schedule, or an object with its `type`,")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<CommitSchedule, E> {
        name.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CommitSchedule, A::Error> {
        CommitSchedule::deserialize(MapAccessDeserializer::new(map))
    }
}

impl<'de> Deserialize<'de> for CommitName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Written).map(Self)
    }
}

impl Serialize for CommitName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0.to_string())
    }
}
