//! Comma-separated values (RFC 4180, with line feeds): what any program reads.

use super::{Table, Value};

impl Table {
    /// The table as CSV, with a line of names. An absent value is an empty field, an empty text is `""`.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut text = self.names.join(",");
        text.push('\n');
        for row in &self.rows {
            let fields: Vec<String> = row.iter().map(field).collect();
            text += &fields.join(",");
            text.push('\n');
        }
        text
    }
}

fn field(value: &Value) -> String {
    let text = value.to_string();
    let plain = !text.contains([',', '"', '\n', '\r']) && (value.is_empty() || !text.is_empty());
    if plain {
        text
    } else {
        format!("\"{}\"", text.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let table = Table::new(vec![
            vec![
                ("a", "x, \"y\"\nz".into()),
                ("b", 3_usize.into()),
                ("c", 0.1_f64.into()),
            ],
            vec![("a", "".into()), ("b", None::<usize>.into()), ("c", f64::NAN.into())],
        ]);
        assert_eq!(table.to_csv(), "a,b,c\n\"x, \"\"y\"\"\nz\",3,0.1\n\"\",,\n");
    }
}
