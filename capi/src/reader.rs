//! Matroska files, packet by packet. No model is needed.

use std::ffi::{CString, c_char};
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};

use siskin_core::Limits;
use siskin_core::container::{AUDIO_CODEC_ID, Block, Reader, VIDEO_CODEC_ID};

use crate::pointers;
use crate::status::{Failure, SiskinStatus, guarded, guarded_unit};

trait Source: Read + Seek + Send {}
impl<T: Read + Seek + Send> Source for T {}

/// A file that is read.
pub struct SiskinReader {
    inner: Reader<Box<dyn Source>>,
    codec_ids: Vec<CString>,
    block: Block,
}

/// What a track holds.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "names as C writes them")]
pub enum SiskinTrackKind {
    /// Audio of Siskin.
    SISKIN_TRACK_AUDIO = 0,
    /// Video of Siskin.
    SISKIN_TRACK_VIDEO = 1,
    /// Something else, which `codec_id` names.
    SISKIN_TRACK_OTHER = 2,
}

/// A track of a file. Pointers are the reader's, as long as it lives.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct SiskinTrack {
    /// What it holds.
    pub kind: SiskinTrackKind,
    /// The number that blocks carry.
    pub number: u64,
    /// Matroska's codec id, such as "A_SISKIN".
    pub codec_id: *const c_char,
    /// The stream header, for `siskin_decoder_new`.
    pub header: *const u8,
    /// Bytes of the header.
    pub header_length: usize,
}

/// A packet of a track. Its bytes are the reader's, until the next call with it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct SiskinBlock {
    /// The track's number.
    pub track: u64,
    /// Presentation time in nanoseconds, to whole milliseconds.
    pub time_ns: u64,
    /// How long it lasts in nanoseconds; 0 where the file does not say.
    pub duration_ns: u64,
    /// Whether decoding may begin here.
    pub is_random_access: bool,
    /// The packet's bytes.
    pub data: *const u8,
    /// How many.
    pub length: usize,
}

/// Opens a Matroska file by its path in UTF-8.
///
/// # Safety
/// `path` is null or a text that ends with a zero byte; `reader` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_reader_open(
    path: *const c_char,
    reader: *mut *mut SiskinReader,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { pointers::exclusive(reader, "reader") }?;
        *out = std::ptr::null_mut();
        // SAFETY: the caller's promise.
        let path = unsafe { pointers::text(path, "path") }?;
        let path = path.ok_or_else(|| Failure::parameter("path is null"))?;
        let file = File::open(path).map_err(|e| Failure::io(path, &e))?;
        pointers::hand_out(out, SiskinReader::new(Box::new(BufReader::new(file)))?);
        Ok(())
    })
}

/// Opens a Matroska file in memory, which is copied.
///
/// # Safety
/// `data` has `length` bytes; `reader` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_reader_open_memory(
    data: *const u8,
    length: usize,
    reader: *mut *mut SiskinReader,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { pointers::exclusive(reader, "reader") }?;
        *out = std::ptr::null_mut();
        // SAFETY: the caller's promise.
        let data = unsafe { pointers::slice(data, length, "data") }?;
        pointers::hand_out(out, SiskinReader::new(Box::new(Cursor::new(data.to_vec())))?);
        Ok(())
    })
}

impl SiskinReader {
    fn new(source: Box<dyn Source>) -> Result<Self, Failure> {
        let inner = Reader::open_file(source, Limits::default())?;
        // A zero byte is in no codec's name; a file that has one anyway gets it as a space.
        let name = |id: &str| CString::new(id.replace('\0', " ")).unwrap_or_default();
        let codec_ids = inner.tracks().iter().map(|t| name(&t.codec_id)).collect();
        Ok(Self { inner, codec_ids, block: Block::default() })
    }
}

/// Describes track `index`, counted from 0; `SISKIN_END` behind the last one.
///
/// # Safety
/// `reader` is null or open; `track` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_reader_track(
    reader: *const SiskinReader,
    index: usize,
    track: *mut SiskinTrack,
) -> SiskinStatus {
    guarded(|| {
        // SAFETY: the caller's promise.
        let reader = unsafe { pointers::shared(reader, "reader") }?;
        // SAFETY: the caller's promise.
        let out = unsafe { pointers::exclusive(track, "track") }?;
        let found = reader.inner.tracks().get(index).zip(reader.codec_ids.get(index));
        let Some((info, codec_id)) = found else { return Ok(SiskinStatus::SISKIN_END) };
        *out = SiskinTrack {
            kind: match info.codec_id.as_str() {
                AUDIO_CODEC_ID => SiskinTrackKind::SISKIN_TRACK_AUDIO,
                VIDEO_CODEC_ID => SiskinTrackKind::SISKIN_TRACK_VIDEO,
                _ => SiskinTrackKind::SISKIN_TRACK_OTHER,
            },
            number: info.number,
            codec_id: codec_id.as_ptr(),
            header: info.codec_private.as_ptr(),
            header_length: info.codec_private.len(),
        };
        Ok(SiskinStatus::SISKIN_OK)
    })
}

/// Reads the next packet of any track; `SISKIN_END` at the end of the file, also where it was cut off.
///
/// # Safety
/// `reader` is null or open; `block` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_reader_next(
    reader: *mut SiskinReader,
    block: *mut SiskinBlock,
) -> SiskinStatus {
    guarded(|| {
        // SAFETY: the caller's promise.
        let reader = unsafe { pointers::exclusive(reader, "reader") }?;
        // SAFETY: the caller's promise.
        let out = unsafe { pointers::exclusive(block, "block") }?;
        let SiskinReader { inner, block, .. } = reader;
        if !inner.next_block(block)? {
            return Ok(SiskinStatus::SISKIN_END);
        }
        *out = SiskinBlock {
            track: block.track,
            time_ns: block.pts_ns,
            duration_ns: block.duration_ns.unwrap_or(0),
            is_random_access: block.is_keyframe,
            data: block.data.as_ptr(),
            length: block.data.len(),
        };
        Ok(SiskinStatus::SISKIN_OK)
    })
}

/// Goes to the last packet at or before a time of those that begin a block of the file (of a laced block the first), which is read next.
///
/// # Safety
/// `reader` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_reader_seek(reader: *mut SiskinReader, time_ns: u64) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let reader = unsafe { pointers::exclusive(reader, "reader") }?;
        Ok(reader.inner.seek_to(time_ns)?)
    })
}

/// Closes a file. A null pointer is nothing.
///
/// # Safety
/// `reader` comes from `siskin_reader_open` or `siskin_reader_open_memory` and is not used after.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_reader_close(reader: *mut SiskinReader) {
    // SAFETY: the caller's promise.
    unsafe { pointers::free(reader) }
}
