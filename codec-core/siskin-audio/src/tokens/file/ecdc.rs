//! EnCodec's own files (`.ecdc`), as its package writes them without its language model: a magic, a header in JSON, codes of
//! ten bits frame by frame, the least significant bit first. At 48 kHz there are segments with a scale each.

use serde::Deserialize;
use siskin_bitstream::packet::Segment;
use siskin_error::{Error, Result};
use siskin_model::bundle::SegmentSpec;

use crate::tokens::file::meta::TokenMeta;
use crate::tokens::file::token_file::{TokenFile, file_error};

const MAGIC: &[u8] = b"ECDC";
/// Limit of the header, which has about 70 bytes.
const MAX_HEADER: usize = 4096;
const HOP: u64 = 320;
const CODE_BITS: usize = 10;

/// A model whose files are known.
struct Model {
    /// Its name in the files.
    name: &'static str,
    /// The name of the bundle that is made of it.
    bundle: &'static str,
    rate: f64,
    codebooks: usize,
    /// Segments that begin with their scale; none where the codes are one run.
    segments: Option<SegmentSpec>,
}

const MODELS: [Model; 2] = [
    Model { name: "encodec_24khz", bundle: "encodec-24k", rate: 24_000.0, codebooks: 32, segments: None },
    Model {
        name: "encodec_48khz",
        bundle: "encodec-48k",
        rate: 48_000.0,
        codebooks: 16,
        // A second, of which a hundredth overlaps with the next.
        segments: Some(SegmentSpec::ENCODEC_48K),
    },
];

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
    let Some(model) = MODELS.iter().find(|m| m.name == header.m) else {
        let known: Vec<_> = MODELS.iter().map(|m| m.name).collect();
        return Err(file_error("m", format!("{:?}, allowed: {}", header.m, known.join(", "))));
    };
    if header.lm {
        let reason =
            "true: the codes follow from a language model that is not here; write the file without it";
        return Err(file_error("lm", reason));
    }
    if !(1..=model.codebooks).contains(&header.nc) {
        let reason = format!("{} codebooks, allowed: 1 to {}", header.nc, model.codebooks);
        return Err(file_error("nc", reason));
    }
    let mut meta = TokenMeta {
        format: 1,
        model: model.bundle.into(),
        codebook_size: 1 << CODE_BITS,
        frame_rate: model.rate / HOP as f64,
        samples: Some(header.al),
        ..Default::default()
    };
    let codes = match model.segments {
        None => {
            let codes = read_run(&header, header.al, body)?;
            if codes.bytes != body.len() {
                return Err(wrong_length(&header, body.len()));
            }
            codes.codes
        }
        Some(sizes) => read_segments(&header, sizes, body, &mut meta.scales)?,
    };
    TokenFile::from_frames(header.nc, &codes, meta)
}

fn wrong_length(header: &Header, bytes: usize) -> Error {
    let reason = format!("{} samples in {} codebooks with {bytes} bytes", header.al, header.nc);
    file_error("al", reason)
}

/// Codes frame by frame, and the bytes that they take.
struct Run {
    codes: Vec<u16>,
    bytes: usize,
}

/// Reads the codes of `samples` samples from the start of `body`.
fn read_run(header: &Header, samples: u64, body: &[u8]) -> Result<Run> {
    // Checked against the bytes that are there before anything is allocated.
    let frames = usize::try_from(samples.div_ceil(HOP)).unwrap_or(usize::MAX);
    let bits = frames.checked_mul(header.nc).and_then(|n| n.checked_mul(CODE_BITS));
    let bytes = bits.map(|b| b.div_ceil(8)).filter(|&b| b <= body.len());
    let bytes = bytes.ok_or_else(|| wrong_length(header, body.len()))?;
    let code = |index: usize| {
        let at = index * CODE_BITS;
        // Ten bits lie in two bytes at any place.
        let pair = [body[at / 8], body[..bytes].get(at / 8 + 1).copied().unwrap_or_default()];
        u16::from_le_bytes(pair) >> (at % 8) & ((1 << CODE_BITS) - 1)
    };
    Ok(Run { codes: (0..frames * header.nc).map(code).collect(), bytes })
}

/// Reads segments, each with its scale, a float with the most significant byte first, before its codes.
fn read_segments(
    header: &Header,
    sizes: SegmentSpec,
    mut body: &[u8],
    scales: &mut Vec<f32>,
) -> Result<Vec<u16>> {
    let (all, mut codes) = (body.len(), Vec::new());
    for range in sizes.of_stream(header.al) {
        let (&scale, rest) = body.split_first_chunk().ok_or_else(|| wrong_length(header, all))?;
        let scale = f32::from_be_bytes(scale);
        if !Segment::is_scale(scale) {
            let reason = format!("{scale} in segment {}, allowed: finite values from 0 on", scales.len());
            return Err(file_error("scale", reason));
        }
        scales.push(scale);
        let run = read_run(header, range.end - range.start, rest)?;
        codes.extend(run.codes);
        body = &rest[run.bytes..];
    }
    if body.is_empty() { Ok(codes) } else { Err(wrong_length(header, all)) }
}
