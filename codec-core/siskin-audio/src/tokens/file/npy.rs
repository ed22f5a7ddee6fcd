//! NumPy's array file (NEP 1): a magic, a header that is a Python dictionary, the array's bytes.

use siskin_error::Result;

use crate::tokens::file::code_type::CodeType;
use crate::tokens::file::meta::TokenMeta;
use crate::tokens::file::token_file::{TokenFile, file_error, read_integer};

const MAGIC: &[u8] = b"\x93NUMPY";
/// The array's bytes begin at a multiple of this.
// As NEP 1 asks, so that an array can be mapped into memory.
const ALIGNMENT: usize = 64;
/// Limit of the header: an array of two dimensions has about 100 bytes.
const MAX_HEADER: usize = 4096;

pub(crate) fn to_bytes(file: &TokenFile, code_type: CodeType) -> Vec<u8> {
    let descr = match code_type {
        CodeType::U16 => "<u2",
        CodeType::I32 => "<i4",
        CodeType::I64 => "<i8",
    };
    let shape = format!("({}, {})", file.codebooks, file.frames);
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    // Magic, two bytes of version, two of length.
    let before = MAGIC.len() + 4;
    let total = (before + header.len() + 1).next_multiple_of(ALIGNMENT);
    header.extend(std::iter::repeat_n(' ', total - before - header.len() - 1));
    header.push('\n');
    let mut out = MAGIC.to_vec();
    // Version 1.0, which every reader knows; later ones are for headers beyond 64 KiB.
    out.extend([1, 0]);
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.bytes());
    out.extend(code_type.to_bytes(&file.codes));
    out
}

pub(crate) fn from_bytes(data: &[u8]) -> Result<TokenFile> {
    let cut = || file_error("header", "the file ends in it");
    let rest = data.strip_prefix(MAGIC).ok_or_else(|| file_error("magic", "not an .npy file"))?;
    let (length, rest) = match rest {
        [1, 0, a, b, rest @ ..] => (u16::from_le_bytes([*a, *b]) as usize, rest),
        [2 | 3, 0, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        [major, ..] => return Err(file_error("version", format!("{major}, allowed: 1 to 3"))),
        [] => return Err(cut()),
    };
    if length > MAX_HEADER {
        return Err(file_error("header", format!("{length} bytes, allowed: up to {MAX_HEADER}")));
    }
    let (header, body) = rest.split_at_checked(length).ok_or_else(cut)?;
    let header = std::str::from_utf8(header).map_err(|e| file_error("header", e))?;
    let kind = find_value(header, "descr").ok_or_else(|| file_error("descr", "missing"))?;
    // No floats, whose conversion would round, and no objects, which are pickles.
    let (bytes, signed): (usize, bool) = match kind.trim_matches(['\'', '"']) {
        "|u1" | "<u1" => (1, false),
        "<u2" => (2, false),
        "<u4" => (4, false),
        "<i2" => (2, true),
        "<i4" => (4, true),
        "<i8" => (8, true),
        other => return Err(file_error("descr", format!("{other}, allowed: little-endian integers"))),
    };
    let fortran = match find_value(header, "fortran_order") {
        Some("True") => true,
        Some("False") => false,
        other => return Err(file_error("fortran_order", format!("{other:?}, allowed: True, False"))),
    };
    let shape = find_value(header, "shape").and_then(|s| s.strip_prefix('(')?.strip_suffix(')'));
    let shape = shape.ok_or_else(|| file_error("shape", "missing"))?;
    let sizes = shape.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::parse);
    let shape: Vec<usize> =
        sizes.collect::<std::result::Result<_, _>>().map_err(|e| file_error("shape", e))?;
    // Checked against the bytes that are there before anything is allocated.
    let expected = shape.iter().try_fold(bytes, |all, &n| all.checked_mul(n));
    if expected != Some(body.len()) {
        return Err(file_error("shape", format!("{shape:?} with {} bytes", body.len())));
    }
    let at = |i: usize| read_integer(&body[i * bytes..(i + 1) * bytes], signed);
    let count = body.len() / bytes;
    if !fortran {
        return TokenFile::from_integers(&shape, (0..count).map(at), TokenMeta::default());
    }
    match *shape.as_slice() {
        [k, t] => {
            // Fortran order is column by column; it is transposed while it is read.
            let columns = (0..k).flat_map(|row| (0..t).map(move |column| column * k + row));
            TokenFile::from_integers(&shape, columns.map(at), TokenMeta::default())
        }
        _ => Err(file_error("shape", format!("{shape:?} in Fortran order, allowed: [K, T]"))),
    }
}

/// The text of a key's value in a dictionary that holds strings, truth values and a tuple.
fn find_value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let quoted = [format!("'{key}'"), format!("\"{key}\"")];
    let at = quoted.iter().find_map(|q| header.find(q.as_str()).map(|at| at + q.len()))?;
    let rest = header[at..].trim_start().strip_prefix(':')?.trim_start();
    let end = match rest.chars().next()? {
        '(' => rest.find(')')? + 1,
        quote @ ('\'' | '"') => rest[1..].find(quote)? + 2,
        _ => rest.find([',', '}'])?,
    };
    Some(rest[..end].trim_end())
}
