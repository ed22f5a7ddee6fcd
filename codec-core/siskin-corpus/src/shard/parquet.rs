//! Parquet: `shard-NAME.parquet` with a row for each utterance: `id, codes, frame_rate, duration, text, speaker`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use siskin_audio::tokens::{CodeType, TokenFile};
use siskin_error::{Error, Result};
use tempfile::NamedTempFile;

use super::ShardName;
use crate::utterance::Utterance;

/// Codes of a group of rows: readers hold a group in memory, and two hours of 12 codebooks are 4.3 million.
const GROUP_CODES: usize = 4 << 20;
/// Rows of a group at most.
const GROUP_ROWS: usize = 1000;

pub(super) struct ParquetFile {
    folder: PathBuf,
    /// Made with the first row, which says what model the codes are of.
    writer: Option<SerializedFileWriter<NamedTempFile>>,
    code_type: CodeType,
    rows: Vec<Row>,
    codes: usize,
}

struct Row {
    id: String,
    tokens: TokenFile,
}

impl ParquetFile {
    pub(super) fn create(folder: &Path, code_type: CodeType) -> Self {
        Self { folder: folder.to_owned(), writer: None, code_type, rows: Vec::new(), codes: 0 }
    }

    pub(super) fn push(&mut self, utterance: &Utterance, tokens: &TokenFile) -> Result<()> {
        self.codes += tokens.codes.len();
        self.rows.push(Row { id: utterance.id.clone(), tokens: tokens.clone() });
        if self.codes >= GROUP_CODES || self.rows.len() >= GROUP_ROWS {
            self.write_group()?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self, name: &ShardName) -> Result<Vec<(NamedTempFile, String)>> {
        self.write_group()?;
        let Some(writer) = self.writer else { return Ok(Vec::new()) };
        let file = writer.into_inner().map_err(parquet_error)?;
        Ok(vec![(file, format!("shard-{name}.parquet"))])
    }

    fn write_group(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        self.codes = 0;
        let Some(first) = rows.first() else { return Ok(()) };
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => open(&self.folder, self.code_type, &first.tokens)?,
        };
        write_rows(&mut writer, &rows, self.code_type).map_err(parquet_error)?;
        self.writer = Some(writer);
        Ok(())
    }
}

/// An error of the writer; what the system said decides its kind, so that a full disk is told from a fault.
fn parquet_error(error: ParquetError) -> Error {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut kind = std::io::ErrorKind::Other;
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            kind = io.kind();
        }
        next = cause.source();
    }
    Error::Io { path: "parquet".into(), source: std::io::Error::new(kind, error) }
}

/// The names of the levels of lists are those of the format's own rules, which every reader knows as nested lists.
fn schema(code_type: CodeType) -> String {
    let code = match code_type {
        CodeType::U16 => "required int32 element (INTEGER(16,false))",
        CodeType::I32 => "required int32 element",
        CodeType::I64 => "required int64 element",
    };
    format!(
        "message utterances {{
            required binary id (STRING);
            required group codes (LIST) {{
                repeated group list {{
                    required group element (LIST) {{ repeated group list {{ {code}; }} }}
                }}
            }}
            required double frame_rate;
            required double duration;
            optional binary text (STRING);
            optional binary speaker (STRING);
        }}"
    )
}

fn open(
    folder: &Path,
    code_type: CodeType,
    first: &TokenFile,
) -> Result<SerializedFileWriter<NamedTempFile>> {
    let meta = &first.meta;
    let header = meta.stream_header.as_ref().map(|h| hex::encode(h.to_bytes())).unwrap_or_default();
    let pair = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    let path = ["codes", "list", "element", "list", "element"].map(String::from);
    let properties = WriterProperties::builder()
        .set_created_by(format!("siskin {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(vec![
            pair("siskin.model", meta.model.clone()),
            pair("siskin.stream_header", header),
            pair("siskin.codebook_size", meta.codebook_size.to_string()),
        ]))
        // A dictionary of a codebook's entries: as many bits a code as the codebook has, without a compressor.
        .set_dictionary_enabled(true)
        // Nobody looks for utterances by the smallest code.
        .set_column_statistics_enabled(ColumnPath::from(path.to_vec()), EnabledStatistics::None)
        .build();
    let schema = parse_message_type(&schema(code_type)).map_err(parquet_error)?;
    let file = super::temporary(folder)?;
    SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).map_err(parquet_error)
}

type Group<'a> = SerializedRowGroupWriter<'a, NamedTempFile>;
type Written = std::result::Result<(), ParquetError>;

/// One group of rows, column after column in the order of the schema.
fn write_rows(
    writer: &mut SerializedFileWriter<NamedTempFile>,
    rows: &[Row],
    code_type: CodeType,
) -> Written {
    let mut group = writer.next_row_group()?;
    let ids: Vec<_> = rows.iter().map(|r| ByteArray::from(r.id.as_str())).collect();
    write_column::<ByteArrayType>(&mut group, &ids, None, None)?;
    match code_type {
        CodeType::U16 | CodeType::I32 => write_codes::<Int32Type>(&mut group, rows, i32::from)?,
        CodeType::I64 => write_codes::<Int64Type>(&mut group, rows, i64::from)?,
    }
    let rates: Vec<_> = rows.iter().map(|r| r.tokens.meta.frame_rate).collect();
    write_column::<DoubleType>(&mut group, &rates, None, None)?;
    let durations: Vec<_> = rows.iter().map(|r| super::duration_of(&r.tokens)).collect();
    write_column::<DoubleType>(&mut group, &durations, None, None)?;
    write_texts(&mut group, rows.iter().map(|r| r.tokens.meta.text.as_deref()))?;
    write_texts(&mut group, rows.iter().map(|r| r.tokens.meta.speaker.as_deref()))?;
    group.close().map(drop)
}

fn write_column<T: DataType>(
    group: &mut Group<'_>,
    values: &[T::T],
    definitions: Option<&[i16]>,
    repetitions: Option<&[i16]>,
) -> Written {
    let ended = || ParquetError::General("the schema has no further column".into());
    let mut column = group.next_column()?.ok_or_else(ended)?;
    column.typed::<T>().write_batch(values, definitions, repetitions)?;
    column.close()
}

/// Texts that may be missing: only those that are there are values.
fn write_texts<'a>(group: &mut Group<'_>, texts: impl Iterator<Item = Option<&'a str>> + Clone) -> Written {
    let definitions: Vec<_> = texts.clone().map(|t| i16::from(t.is_some())).collect();
    let values: Vec<_> = texts.flatten().map(ByteArray::from).collect();
    write_column::<ByteArrayType>(group, &values, Some(&definitions), None)
}

/// Codes as lists of lists. A code's repetition level tells what it begins: 0 a row, 1 a codebook, 2 nothing; its definition
/// level how much of the nest is there: 0 a row without codebooks, 1 a codebook without codes, 2 a code.
fn write_codes<T: DataType>(group: &mut Group<'_>, rows: &[Row], convert: impl Fn(u16) -> T::T) -> Written {
    let count = rows.iter().map(|r| r.tokens.codes.len()).sum();
    let (mut values, mut definitions, mut repetitions) =
        (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
    for Row { tokens, .. } in rows {
        if tokens.codebooks == 0 {
            definitions.push(0);
            repetitions.push(0);
        }
        for k in 0..tokens.codebooks {
            let codes = &tokens.codes[k * tokens.frames..(k + 1) * tokens.frames];
            let begins = i16::from(k > 0);
            if codes.is_empty() {
                definitions.push(1);
                repetitions.push(begins);
            }
            for (t, &code) in codes.iter().enumerate() {
                values.push(convert(code));
                definitions.push(2);
                repetitions.push(if t == 0 { begins } else { 2 });
            }
        }
    }
    write_column::<T>(group, &values, Some(&definitions), Some(&repetitions))
}
