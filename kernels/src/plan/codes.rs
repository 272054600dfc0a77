//! Who may look at whom, as two small codes a position.

/// What a query may see: every key with `time <= limit`, and every key of its own group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryCode {
    /// The last time that is visible; negative for none.
    pub limit: i32,
    /// The group whose keys are visible whatever their time (a block that sees itself both ways); negative for none.
    pub group: i32,
}

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyCode {
    /// Its time, at least 0; `i32::MAX` hides it from every limit.
    pub time: i32,
    /// Its group; negative for none.
    pub group: i32,
}

impl QueryCode {
    /// A query that sees nothing.
    pub const PADDING: Self = Self { limit: -1, group: -1 };
}

impl KeyCode {
    /// A key that nobody sees.
    pub const PADDING: Self = Self {
        time: i32::MAX,
        group: -1,
    };
}

/// The rule of visibility, the only one there is.
#[must_use]
pub const fn allowed(query: QueryCode, key: KeyCode) -> bool {
    key.time <= query.limit || (key.group >= 0 && key.group == query.group)
}

/// The codes of one sequence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Visibility {
    /// One code a query.
    pub queries: Vec<QueryCode>,
    /// One code a key.
    pub keys: Vec<KeyCode>,
}

impl Visibility {
    /// Everyone sees everyone: `queries` queries, `keys` keys.
    #[must_use]
    pub fn dense(queries: usize, keys: usize) -> Self {
        Self {
            queries: vec![QueryCode { limit: 0, group: -1 }; queries],
            keys: vec![KeyCode { time: 0, group: -1 }; keys],
        }
    }
}
