//! Where a setting is kept in [`Settings`], and how its values are read.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Settings;
use crate::values::words;

/// The place of a setting's value.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// The one form of a value that was read from JSON.
    pub(super) read: fn(Value) -> Result<Value, String>,
    /// The value as settings have it; null for one that is left to the model.
    pub(super) get: fn(&Settings) -> Value,
    /// Puts a value there that was read.
    pub(super) put: fn(&mut Settings, Value) -> Result<(), String>,
}

/// A value of type `T`.
pub(super) fn take<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    // JSON has no infinite numbers, which YAML can write.
    let is_null = value.is_null();
    serde_json::from_value(value).map_err(|error| match is_null {
        true => "a finite number is wanted".to_owned(),
        false => words(&error),
    })
}

/// The JSON of a value, which always has one.
pub(super) fn give(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Reads a `T`.
pub(super) fn read<T: DeserializeOwned + Serialize>(value: Value) -> Result<Value, String> {
    take::<T>(value).map(give)
}

/// The slot of a field of [`Settings`], of a type that is JSON.
macro_rules! slot {
    ($type:ty: $($field:ident).+) => {
        $crate::settings::slot::Slot {
            read: $crate::settings::slot::read::<$type>,
            get: |settings| $crate::settings::slot::give(&settings.$($field).+),
            put: |settings, value| {
                settings.$($field).+ = $crate::settings::slot::take(value)?;
                Ok(())
            },
        }
    };
}

pub(super) use slot;
