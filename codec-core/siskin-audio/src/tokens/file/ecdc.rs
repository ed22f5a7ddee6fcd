//! EnCodec's own files (`.ecdc`), as its package writes them without its language model: a magic, a header in JSON, codes of
//! ten bits frame by frame, the least significant bit first.

use serde::Deserialize;
use siskin_error::Result;

use crate::tokens::file::meta::TokenMeta;
use crate::tokens::file::token_file::{TokenFile, file_error};

const MAGIC: &[u8] = b"ECDC";
/// Limit of the header, which has about 70 bytes.
const MAX_HEADER: usize = 4096;
const HOP: u64 = 320;
const CODE_BITS: usize = 10;
const RATE: f64 = 24_000.0;

#[derive(Deserialize)]
struct Header {
    /// The model.
    m: String,
    /// Samples.
    al: u64,
    /// Codebooks.
    nc: usize,
    /// Whether the codes are coded with probabilities of the language model.
    lm: bool,
}

pub(crate) fn from_bytes(data: &[u8]) -> Result<TokenFile> {
    let rest = data.strip_prefix(MAGIC).ok_or_else(|| file_error("magic", "not an .ecdc file"))?;
    let [version, a, b, c, d, rest @ ..] = rest else {
        return Err(file_error("header", "the file ends in it"));
    };
    if *version != 0 {
        return Err(file_error("version", format!("{version}, allowed: 0")));
    }
    let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    if length > MAX_HEADER {
        return Err(file_error("header", format!("{length} bytes, allowed: up to {MAX_HEADER}")));
    }
    let split = rest.split_at_checked(length);
    let (header, body) = split.ok_or_else(|| file_error("header", "the file ends in it"))?;
    let header: Header = serde_json::from_slice(header).map_err(|e| file_error("header", e))?;
    if header.m != "encodec_24khz" {
        let reason =
            format!("{:?}, allowed: \"encodec_24khz\" (48 kHz comes in overlapping segments)", header.m);
        return Err(file_error("m", reason));
    }
    if header.lm {
        let reason =
            "true: the codes follow from a language model that is not here; write the file without it";
        return Err(file_error("lm", reason));
    }
    if !(1..=32).contains(&header.nc) {
        return Err(file_error("nc", format!("{} codebooks, allowed: 1 to 32", header.nc)));
    }
    // Checked against the bytes that are there before anything is allocated.
    let frames = usize::try_from(header.al.div_ceil(HOP)).unwrap_or(usize::MAX);
    let bits = frames.checked_mul(header.nc).and_then(|n| n.checked_mul(CODE_BITS));
    if bits.map(|b| b.div_ceil(8)) != Some(body.len()) {
        let reason = format!("{} samples in {} codebooks with {} bytes", header.al, header.nc, body.len());
        return Err(file_error("al", reason));
    }
    let code = |index: usize| {
        let at = index * CODE_BITS;
        // Ten bits lie in two bytes at any place.
        let pair = [body[at / 8], body.get(at / 8 + 1).copied().unwrap_or_default()];
        u16::from_le_bytes(pair) >> (at % 8) & ((1 << CODE_BITS) - 1)
    };
    let codes: Vec<u16> = (0..frames * header.nc).map(code).collect();
    let meta = TokenMeta {
        format: 1,
        model: "encodec-24k".into(),
        codebook_size: 1 << CODE_BITS,
        frame_rate: RATE / HOP as f64,
        samples: Some(header.al),
        ..Default::default()
    };
    TokenFile::from_frames(header.nc, &codes, meta)
}
