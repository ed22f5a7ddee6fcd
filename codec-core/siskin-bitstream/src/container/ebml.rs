//! The little of EBML (RFC 8794) that is needed: element heads, the children of small elements, and both written.
//!
//! Elements are written here where `mkv-element` would add defaults, some of which readers do not know. The crates that
//! read Matroska either hold whole clusters in memory, or need a seekable source, do not know clusters of unknown size
//! and can be made to panic; a live stream in a pipe needs none of that.

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
    // An id keeps its length marker, since ids are known by all of their bits (RFC 8794, section 5).
    let Some((id, id_bytes)) = read_vint(source, 4, true)? else { return Ok(None) };
    debug_assert!(id_bytes <= 4);
    // A source that ends inside a head has been cut off, which is no error: the caller sees by the position whether
    // bytes were lost.
    let Some((size, size_bytes)) = read_vint(source, 8, false)? else { return Ok(None) };
    // All ones in any length mean an unknown size (RFC 8794, section 6.2).
    let unknown = size == (1 << (7 * size_bytes)) - 1;
    Ok(Some(Head { id: id as u32, size: (!unknown).then_some(size) }))
}

/// Reads a size, and tells of how many bytes it is; none where the data end.
pub(super) fn read_size(data: &mut &[u8]) -> Option<(u64, u32)> {
    read_vint(data, 8, false).ok().flatten()
}

/// Reads a variable-length integer of at most `longest` bytes, with its length marker if `marked`.
fn read_vint(source: &mut impl Read, longest: u32, marked: bool) -> Result<Option<(u64, u32)>> {
    let mut first = [0];
    if !read_whole(source, &mut first)? {
        return Ok(None);
    }
    // A first byte of 0 gives 9, which is always too long.
    let length = first[0].leading_zeros() + 1;
    if length > longest {
        return Err(Error::container(format!("damaged: {:#04x} begins no element", first[0])));
    }
    // On the stack: a head is read for every block.
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
        // The usual end of a live recording, told apart from a disk that fails.
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(Error::container_io("cannot be read", e)),
    }
}

/// The children of a small element, up to the first that is not whole.
pub(super) fn child_elements(mut data: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        // Damage ends the children instead of failing: what of a description can be read is of more use than none
        // of it.
        let head = read_head(&mut data).ok().flatten()?;
        // A child of unknown size takes all that is left, as its end is the parent's.
        let size = head.size.map_or(data.len(), |s| usize::try_from(s).unwrap_or(usize::MAX));
        let (body, rest) = data.split_at_checked(size)?;
        data = rest;
        Some((head.id, body))
    })
}

/// An unsigned integer element's value; 0 if it is longer than 8 bytes.
pub(super) fn read_unsigned(body: &[u8]) -> u64 {
    // An empty body is 0 as well (RFC 8794, section 7.2).
    if body.len() > 8 { 0 } else { body.iter().fold(0, |v, &b| v << 8 | u64::from(b)) }
}

/// A float element's value; 0 if it is not 4 or 8 bytes long.
pub(super) fn read_float(body: &[u8]) -> f64 {
    match *body {
        [a, b, c, d] => f32::from_be_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => f64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => 0.0,
    }
}

/// A string element's value, without the zeros that may pad it.
pub(super) fn read_string(body: &[u8]) -> String {
    // Lossy, since a tag in another encoding should not make a file unreadable.
    String::from_utf8_lossy(body).trim_end_matches('\0').to_owned()
}

/// Appends an element's id, which holds its own length marker.
pub(super) fn put_id(id: u32, out: &mut Vec<u8>) {
    // The marker is the id's highest set bit, so no leading zero byte belongs to it.
    let bytes = id.to_be_bytes();
    out.extend_from_slice(&bytes[id.leading_zeros() as usize / 8..]);
}

/// Appends a size in as few bytes as it takes.
pub(super) fn put_size(size: u64, out: &mut Vec<u8>) {
    // All ones mean an unknown size, so each length ends one earlier than it could.
    let length = (1..8).find(|&n| size < (1 << (7 * n)) - 1).unwrap_or(8);
    let marked = size | 1 << (7 * length);
    out.extend_from_slice(&marked.to_be_bytes()[8 - length as usize..]);
}

/// Appends an element.
pub(super) fn put_element(id: u32, body: &[u8], out: &mut Vec<u8>) {
    put_id(id, out);
    put_size(body.len() as u64, out);
    out.extend_from_slice(body);
}

/// Appends an unsigned integer element in as few bytes as it takes.
pub(super) fn put_unsigned(id: u32, value: u64, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    // At least one byte: an empty element would mean the default value, which for some ids is not 0.
    put_element(id, &bytes[(value.leading_zeros() as usize / 8).min(7)..], out);
}

/// Appends a signed integer element in as few bytes as it takes.
pub(super) fn put_signed(id: u32, value: i64, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    let length = (1..8).find(|&n| value >> (8 * n - 1) == 0 || value >> (8 * n - 1) == -1).unwrap_or(8);
    put_element(id, &bytes[8 - length..], out);
}

/// Appends a float element, of 4 bytes if they hold the value.
pub(super) fn put_float(id: u32, value: f64, out: &mut Vec<u8>) {
    // Sample rates fit, and durations of whole milliseconds up to 4.6 hours.
    let short = value as f32;
    if f64::from(short) == value {
        put_element(id, &short.to_be_bytes(), out)
    } else {
        put_element(id, &value.to_be_bytes(), out)
    }
}

/// Appends a `Void` of `total` bytes, 2 to 128.
pub(super) fn put_void(total: usize, out: &mut Vec<u8>) {
    // Up to 126 bytes of body, so that the size takes one byte and the sum is exactly `total`.
    put_element(0xec, &vec![0; total.clamp(2, 128) - 2], out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for size in [0u64, 1, 126, 127, 128, 16_382, 16_383, 1 << 30, (1 << 56) - 2] {
            let mut out = Vec::new();
            put_id(0x1654_ae6b, &mut out);
            put_size(size, &mut out);
            let head = read_head(&mut out.as_slice()).ok().flatten();
            assert_eq!(head, Some(Head { id: 0x1654_ae6b, size: Some(size) }));
        }
        for value in [0, 1, 255, 256, u64::MAX] {
            let mut out = Vec::new();
            put_unsigned(0xd7, value, &mut out);
            assert_eq!(child_elements(&out).map(|(_, b)| read_unsigned(b)).collect::<Vec<_>>(), [value]);
        }
        for (value, bytes) in [
            (-1i64, vec![0xff]),
            (127, vec![127]),
            (-128, vec![0x80]),
            (-129, vec![0xff, 0x7f]),
            (128, vec![0, 0x80]),
        ] {
            let mut out = Vec::new();
            put_signed(0xfb, value, &mut out);
            assert_eq!(child_elements(&out).map(|(_, b)| b.to_vec()).collect::<Vec<_>>(), [bytes]);
        }
        for value in [24_000.0, 0.1, 1e300] {
            let mut out = Vec::new();
            put_float(0x4489, value, &mut out);
            assert_eq!(child_elements(&out).map(|(_, b)| read_float(b)).collect::<Vec<_>>(), [value]);
        }
    }

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
        assert_eq!(child_elements(&data).collect::<Vec<_>>(), [(0xd7, &[7][..])]);
    }
}
