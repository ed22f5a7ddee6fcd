//! Files in the FlatBuffers format, every access checked.
//!
//! The crate `flatbuffers` checks a file only through code that its compiler generates from a schema, and that code is full of
//! `unsafe`; the importers need a dozen tables of one schema.

use std::ops::Range;

/// A table of a file. Fields are named by their number in the schema, from 0.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What the schema calls the table, for messages.
    name: &'static str,
    /// Offsets of the fields from `at`, two bytes each, 0 for one that is left out.
    fields: &'a [u8],
}

/// Elements of a vector: how many, and where they begin.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Vector {
    count: usize,
    start: usize,
}

fn read<const N: usize>(bytes: &[u8], at: usize, what: &str) -> Result<[u8; N], String> {
    let end = at.checked_add(N).filter(|&end| end <= bytes.len());
    let found = end.and_then(|end| bytes.get(at..end)).and_then(|b| b.try_into().ok());
    found.ok_or_else(|| format!("{what} at byte {at}, the file has {}", bytes.len()))
}

/// Where the reference at `at` points; references point forward only.
fn follow(bytes: &[u8], at: usize, what: &str) -> Result<usize, String> {
    let distance = u32::from_le_bytes(read(bytes, at, what)?) as usize;
    let target = at.checked_add(distance).filter(|&t| t < bytes.len());
    target.ok_or_else(|| {
        format!("{what}: the reference at byte {at} points {distance} bytes on, out of the file")
    })
}

impl<'a> Table<'a> {
    /// The root of a file that says it is of the kind `identifier`.
    pub(super) fn root(bytes: &'a [u8], identifier: &[u8; 4], name: &'static str) -> Result<Self, String> {
        if read::<4>(bytes, 4, "the identifier")? != *identifier {
            return Err(format!("no file of the kind {}", String::from_utf8_lossy(identifier)));
        }
        Self::at(bytes, follow(bytes, 0, name)?, name)
    }

    fn at(bytes: &'a [u8], at: usize, name: &'static str) -> Result<Self, String> {
        let what = format!("table {name}");
        let back = i32::from_le_bytes(read(bytes, at, &what)?);
        let list = i64::try_from(at).ok().and_then(|at| usize::try_from(at - i64::from(back)).ok());
        let list = list.ok_or_else(|| {
            format!("table {name} at byte {at}: its list of fields is {back} bytes before it")
        })?;
        // The list begins with its own length and the table's.
        let length = usize::from(u16::from_le_bytes(read(bytes, list, &what)?));
        let fields = list.checked_add(length).and_then(|end| bytes.get(list + 4..end));
        let fields = fields.filter(|f| f.len().is_multiple_of(2));
        let reason =
            || format!("table {name} at byte {at}: a list of fields of {length} bytes at byte {list}");
        Ok(Self { bytes, at, name, fields: fields.ok_or_else(reason)? })
    }

    fn what(&self, field: usize) -> String {
        format!("field {field} of table {} at byte {}", self.name, self.at)
    }

    /// Where a field lies; none if it is left out and has its default.
    fn field(&self, field: usize) -> Option<usize> {
        let bytes = self.fields.get(2 * field..2 * field + 2)?;
        let offset = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
        (offset > 0).then_some(self.at + offset)
    }

    fn scalar<const N: usize>(&self, field: usize) -> Result<Option<[u8; N]>, String> {
        self.field(field).map(|at| read(self.bytes, at, &self.what(field))).transpose()
    }

    pub(super) fn u8(&self, field: usize) -> Result<u8, String> {
        Ok(self.scalar(field)?.map_or(0, |[b]: [u8; 1]| b))
    }

    pub(super) fn i8(&self, field: usize) -> Result<i8, String> {
        Ok(self.u8(field)? as i8)
    }

    pub(super) fn u32(&self, field: usize) -> Result<u32, String> {
        Ok(self.scalar(field)?.map_or(0, u32::from_le_bytes))
    }

    pub(super) fn i32(&self, field: usize, default: i32) -> Result<i32, String> {
        Ok(self.scalar(field)?.map_or(default, i32::from_le_bytes))
    }

    pub(super) fn f32(&self, field: usize) -> Result<f32, String> {
        Ok(self.scalar(field)?.map_or(0.0, f32::from_le_bytes))
    }

    /// A vector of elements of `size` bytes that lies in the file as a whole.
    fn vector(&self, field: usize, size: usize, most: usize) -> Result<Vector, String> {
        let Some(at) = self.field(field) else { return Ok(Vector { count: 0, start: 0 }) };
        let what = self.what(field);
        let at = follow(self.bytes, at, &what)?;
        let count = u32::from_le_bytes(read(self.bytes, at, &what)?) as usize;
        if count > most {
            return Err(format!("{what}: {count} elements, allowed: up to {most}"));
        }
        let start = at + 4;
        let end =
            count.checked_mul(size).and_then(|n| n.checked_add(start)).filter(|&e| e <= self.bytes.len());
        let past = || format!("{what}: {count} elements at byte {start}, the file has {}", self.bytes.len());
        end.map(|_| Vector { count, start }).ok_or_else(past)
    }

    /// Elements of `N` bytes, at most `most` of them.
    pub(super) fn elements<const N: usize>(&self, field: usize, most: usize) -> Result<Vec<[u8; N]>, String> {
        let v = self.vector(field, N, most)?;
        (0..v.count).map(|i| read(self.bytes, v.start + N * i, &self.what(field))).collect()
    }

    /// Where the bytes of a vector of bytes lie in the file.
    pub(super) fn bytes(&self, field: usize) -> Result<Range<usize>, String> {
        let v = self.vector(field, 1, usize::MAX)?;
        Ok(v.start..v.start + v.count)
    }

    /// A text; of a long one only the first `most` bytes.
    pub(super) fn text(&self, field: usize, most: usize) -> Result<String, String> {
        let range = self.bytes(field)?;
        let bytes = &self.bytes[range];
        Ok(String::from_utf8_lossy(&bytes[..bytes.len().min(most)]).into_owned())
    }

    /// A table; none if it is left out.
    pub(super) fn table(&self, field: usize, name: &'static str) -> Result<Option<Self>, String> {
        let Some(at) = self.field(field) else { return Ok(None) };
        Self::at(self.bytes, follow(self.bytes, at, &self.what(field))?, name).map(Some)
    }

    /// Tables, at most `most` of them.
    pub(super) fn tables(&self, field: usize, name: &'static str, most: usize) -> Result<Vec<Self>, String> {
        let v = self.vector(field, 4, most)?;
        let table =
            |i: usize| Self::at(self.bytes, follow(self.bytes, v.start + 4 * i, &self.what(field))?, name);
        (0..v.count).map(table).collect()
    }
}
