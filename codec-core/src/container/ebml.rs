//! The little of EBML (RFC 8794) that reading takes: element heads and the children of small elements.
//!
//! The crates that read Matroska either hold whole clusters in memory, or need a seekable source, do not know
//! clusters of unknown size and can be made to panic; a live stream in a pipe needs none of that.

use std::io::{ErrorKind, Read};

use crate::{Error, Result};

/// An element's id and size; no size means "until the next element of its level".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) id: u32,
    pub(super) size: Option<u64>,
}

/// Reads the head of an element; none at the end of the source, also in the middle of the head.
pub(super) fn read_head(source: &mut impl Read) -> Result<Option<Head>> {
    let Some((id, id_bytes)) = read_vint(source, 4, true)? else { return Ok(None) };
    debug_assert!(id_bytes <= 4);
    let Some((size, size_bytes)) = read_vint(source, 8, false)? else { return Ok(None) };
    let unknown = size == (1 << (7 * size_bytes)) - 1;
    Ok(Some(Head { id: id as u32, size: (!unknown).then_some(size) }))
}

/// Reads a variable-length integer of at most `longest` bytes, with its length marker if `marked`.
fn read_vint(source: &mut impl Read, longest: u32, marked: bool) -> Result<Option<(u64, u32)>> {
    let mut first = [0];
    if !read_whole(source, &mut first)? {
        return Ok(None);
    }
    let length = first[0].leading_zeros() + 1;
    if length > longest {
        return Err(Error::Container(format!("damaged: {:#04x} begins no element", first[0])));
    }
    let mut rest = [0; 7];
    let rest = &mut rest[..length as usize - 1];
    if !read_whole(source, rest)? {
        return Ok(None);
    }
    let value = rest.iter().fold(u64::from(first[0]), |v, &b| v << 8 | u64::from(b));
    Ok(Some((if marked { value } else { value & !(1 << (7 * length)) }, length)))
}

/// Fills `buffer`; false if the source ends before.
pub(super) fn read_whole(source: &mut impl Read, buffer: &mut [u8]) -> Result<bool> {
    match source.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(Error::Container(e.to_string())),
    }
}

/// The children of a small element, up to the first that is not whole.
pub(super) fn children(mut data: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let head = read_head(&mut data).ok().flatten()?;
        let size = head.size.map_or(data.len(), |s| usize::try_from(s).unwrap_or(usize::MAX));
        let (body, rest) = data.split_at_checked(size)?;
        data = rest;
        Some((head.id, body))
    })
}

/// An unsigned integer element's value; 0 if it is longer than 8 bytes.
pub(super) fn unsigned(body: &[u8]) -> u64 {
    if body.len() > 8 { 0 } else { body.iter().fold(0, |v, &b| v << 8 | u64::from(b)) }
}

/// A float element's value; 0 if it is not 4 or 8 bytes long.
pub(super) fn float(body: &[u8]) -> f64 {
    match *body {
        [a, b, c, d] => f32::from_be_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => f64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => 0.0,
    }
}

/// A string element's value, without the zeros that may pad it.
pub(super) fn string(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_known_and_unknown_size() {
        let read = |mut bytes: &[u8]| read_head(&mut bytes).ok().flatten();
        assert_eq!(read(&[0xa3, 0x85]), Some(Head { id: 0xa3, size: Some(5) }));
        assert_eq!(
            read(&[0x1f, 0x43, 0xb6, 0x75, 0x40, 0x02]),
            Some(Head { id: 0x1f43_b675, size: Some(2) })
        );
        assert_eq!(read(&[0xa3, 0xff]), Some(Head { id: 0xa3, size: None }));
        assert_eq!(read(&[0xa3, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).map(|h| h.size), Some(None));
        assert_eq!(read(&[0x1f, 0x43]), None, "cut off");
        assert!(read_head(&mut &[0x00, 0x80][..]).is_err());
    }

    #[test]
    fn children_stop_before_a_cut_one() {
        let data = [0xd7, 0x81, 7, 0x83, 0x82, 1];
        assert_eq!(children(&data).collect::<Vec<_>>(), [(0xd7, &[7][..])]);
    }
}
