//! The token contracts: any layout there and back, any cuts, bad tokens, snapshots, slots, files.

mod bad;
mod files;
mod layouts;
mod streams;

use std::collections::BTreeMap;

use siskin_error::TokenError;

use crate::tokens::*;

/// Layouts with as many codebooks as a frame needs for them.
const LAYOUTS: [(&str, usize); 13] = [
    ("parallel", 4),
    ("delayed", 4),
    ("delayed:0,1,1,1", 4),
    ("delayed:3,0,2,1", 4),
    ("columns:t,c,c@1*3,x,x@1*3", 4),
    ("moshi", 4),
    ("csm", 4),
    ("flat", 4),
    ("flat:128266", 4),
    ("flat-plain", 4),
    ("snac:10", 7),
    ("coarse-first", 4),
    ("coarse-first:1,3", 4),
];
const SIZE: u32 = 16;

fn format(layout: &str, codebooks: usize) -> Format {
    let layout = Layout::parse(layout, codebooks, SIZE).expect(layout);
    Format::new(codebooks, SIZE, layout, &BTreeMap::new()).expect("a layout of these codebooks")
}

/// Frames of codes that look random; none is all zeros.
fn frames(codebooks: usize, count: usize) -> Vec<Vec<u16>> {
    let code = |t: usize, k: usize| ((t * 31 + k * 7 + t * t * k) % 15 + 1) as u16;
    (0..count).map(|t| (0..codebooks).map(|k| code(t, k)).collect()).collect()
}

fn pack(format: &Format, frames: &[Vec<u16>], marked: bool) -> Vec<i64> {
    let (mut packer, mut out) = (Packer::new(format.clone()), Vec::new());
    for frame in frames {
        packer.push_frame(frame, &mut out).expect("codes of a frame");
    }
    packer.finish_stream(marked, &mut out);
    out
}

/// Frames, `None` for a lost one, and the faults.
type Found = (Vec<Option<Vec<u16>>>, Vec<TokenError>);

/// What an unpacker makes of tokens in pieces of these sizes.
fn unpack(format: &Format, tokens: &[i64], cuts: &[usize], on_bad: OnBadToken) -> crate::Result<Found> {
    let mut unpacker = Unpacker::new(format.clone(), on_bad);
    let (mut frames, mut faults) = (Vec::new(), Vec::new());
    let mut keep = |unit: Unit<'_>| {
        match unit {
            Unit::Frame(codes) => frames.push(Some(codes.to_vec())),
            Unit::Lost(e) => {
                frames.push(None);
                faults.push(e);
            }
            Unit::Ignored(e) => faults.push(e),
            Unit::Text { .. } => {}
        }
        Ok(())
    };
    let (mut rest, mut sizes) = (tokens, cuts.iter().copied().cycle());
    while !rest.is_empty() {
        let (now, later) = rest.split_at(sizes.next().unwrap_or(rest.len()).clamp(1, rest.len()));
        unpacker.push_tokens(now, &mut keep)?;
        rest = later;
    }
    unpacker.finish_stream(&mut keep)?;
    Ok((frames, faults))
}
