//! Parquet: typed columns, for data frames and databases.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use super::{Table, Value};

impl Table {
    /// The table as a Parquet file: one row group, every column optional, nothing compressed (the files are small, and
    /// any reader takes them). The pairs of `notes` go into the file's own metadata.
    ///
    /// # Errors
    /// If a value is not of the kind of its column's first.
    pub fn to_parquet(&self, notes: &[(&str, String)]) -> Result<Vec<u8>> {
        let fields = (0..self.names.len())
            .map(|column| self.field(column))
            .collect::<Result<_>>()?;
        let schema = Type::group_type_builder("drdiff").with_fields(fields).build()?;
        let notes = notes.iter().map(|(key, value)| {
            let (key, value) = ((*key).to_owned(), value.clone());
            parquet::file::metadata::KeyValue::new(key, value)
        });
        let properties = WriterProperties::builder()
            .set_created_by(concat!("drdiff ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(notes.collect()))
            .build();
        let mut bytes = Vec::new();
        let mut file = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties))?;
        let mut group = file.next_row_group()?;
        for column in 0..self.names.len() {
            self.write(column, &mut group)?;
        }
        group.close()?;
        file.close()?;
        Ok(bytes)
    }

    fn kind(&self, column: usize) -> Value {
        self.rows.first().map_or(Value::Text(None), |row| row[column].emptied())
    }

    fn field(&self, column: usize) -> Result<TypePtr> {
        let (physical, logical) = match self.kind(column) {
            Value::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Value::Int(_) => (Physical::INT64, None),
            Value::Float(_) => (Physical::DOUBLE, None),
            Value::Flag(_) => (Physical::BOOLEAN, None),
        };
        let field = Type::primitive_type_builder(self.names[column], physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical);
        Ok(Arc::new(field.build()?))
    }

    fn write<W: std::io::Write + Send>(
        &self,
        column: usize,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        let values = || self.rows.iter().map(move |row| &row[column]);
        match self.kind(column) {
            Value::Text(_) => write::<ByteArrayType, _>(group, values(), |value| match value {
                Value::Text(value) => value.as_deref().map(ByteArray::from),
                _ => None,
            }),
            Value::Int(_) => write::<Int64Type, _>(group, values(), |value| match value {
                Value::Int(value) => *value,
                _ => None,
            }),
            Value::Float(_) => write::<DoubleType, _>(group, values(), |value| match value {
                Value::Float(value) => *value,
                _ => None,
            }),
            Value::Flag(_) => write::<BoolType, _>(group, values(), |value| match value {
                Value::Flag(value) => *value,
                _ => None,
            }),
        }
    }
}

/// Writes the next column: the values that are there, and for each row whether there is one.
fn write<'a, T: DataType, W: std::io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: impl Iterator<Item = &'a Value>,
    get: impl Fn(&Value) -> Option<T::T>,
) -> Result<()> {
    let values: Vec<Option<T::T>> = values.map(get).collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let present: Vec<T::T> = values.into_iter().flatten().collect();
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(&present, Some(&levels), None)?;
        column.close()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let row = |text: Option<&str>, int: Option<usize>, float: f64, flag: Option<bool>| {
            vec![
                ("text", text.into()),
                ("int", int.into()),
                ("float", float.into()),
                ("flag", flag.into()),
                ("none", Value::Float(None)),
            ]
        };
        let table = Table::new(vec![
            row(Some("a, é"), Some(7), 0.1, Some(true)),
            row(None, None, f64::NAN, None),
            row(Some(""), Some(0), -2.5e9, Some(false)),
        ]);
        let bytes = table.to_parquet(&[("commit", "abc".to_owned())]).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        let notes = reader.metadata().file_metadata().key_value_metadata().unwrap();
        assert_eq!(notes[0].value.as_deref(), Some("abc"));
        let read: Vec<Vec<(String, Field)>> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| row.unwrap().into_columns())
            .collect();
        let fields = |row: usize| read[row].iter().map(|(_, field)| field.clone()).collect::<Vec<_>>();
        assert_eq!(
            read[0].iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            table.names()
        );
        let text = |text: &str| Field::Str(text.to_owned());
        assert_eq!(
            fields(0),
            [
                text("a, é"),
                Field::Long(7),
                Field::Double(0.1),
                Field::Bool(true),
                Field::Null
            ]
        );
        assert_eq!(
            fields(1),
            [Field::Null, Field::Null, Field::Null, Field::Null, Field::Null]
        );
        assert_eq!(
            fields(2),
            [
                text(""),
                Field::Long(0),
                Field::Double(-2.5e9),
                Field::Bool(false),
                Field::Null
            ]
        );
    }
}
