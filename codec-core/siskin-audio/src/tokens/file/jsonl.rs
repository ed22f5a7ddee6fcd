//! JSON lines.

use serde::{Deserialize, Serialize};

use siskin_error::Result;

use crate::tokens::file::meta::TokenMeta;
use crate::tokens::file::token_file::{TokenFile, file_error};

/// A line. Fields of other programs are ignored.
#[derive(Deserialize)]
struct Line {
    codes: Vec<Vec<i64>>,
    #[serde(flatten)]
    meta: TokenMeta,
}

#[derive(Serialize)]
struct LineOut<'a> {
    #[serde(flatten)]
    meta: &'a TokenMeta,
    codes: Vec<&'a [u16]>,
}

pub(crate) fn to_bytes(file: &TokenFile) -> Result<Vec<u8>> {
    let codes = (0..file.codebooks).map(|k| &file.codes[k * file.frames..(k + 1) * file.frames]).collect();
    let mut out =
        serde_json::to_vec(&LineOut { meta: &file.meta, codes }).map_err(|e| file_error("line", e))?;
    // With the line's end, so that files of several recordings can be made by appending.
    out.push(b'\n');
    Ok(out)
}

pub(crate) fn from_bytes(line: &[u8]) -> Result<TokenFile> {
    let Line { codes, meta } = serde_json::from_slice(line).map_err(|e| file_error("line", e))?;
    let frames = codes.first().map_or(0, Vec::len);
    // JSON has no shape of its own, so rows of different lengths are found here.
    if let Some(row) = codes.iter().position(|row| row.len() != frames) {
        let found = codes[row].len();
        return Err(file_error("codes", format!("row {row} has {found} codes, row 0 has {frames}")));
    }
    TokenFile::from_integers(&[codes.len(), frames], codes.into_iter().flatten(), meta)
}
