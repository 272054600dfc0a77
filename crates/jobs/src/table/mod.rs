//! A table of results, and the files it is written to.

mod csv;
mod parquet;
mod value;

pub use value::Value;

/// Named columns, and rows that have a value for each. All values of a column are of one kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    names: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// A table of rows whose columns have equal names and kinds, in an equal order.
    #[must_use]
    pub fn new(rows: Vec<Vec<(&'static str, Value)>>) -> Self {
        let names = rows
            .first()
            .map_or_else(Vec::new, |row| row.iter().map(|(name, _)| *name).collect());
        let values = |row: Vec<(&'static str, Value)>| row.into_iter().map(|(_, value)| value).collect();
        Self {
            names,
            rows: rows.into_iter().map(values).collect(),
        }
    }

    /// Names of the columns.
    #[must_use]
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[Vec<Value>] {
        &self.rows
    }
}
