//! Matroska files of one audio track.

use std::ffi::c_char;
use std::fs::File;
use std::io::{BufWriter, Write};

use siskin_core::container::{Mode, Track, Writer, WriterOptions};
use siskin_core::media::{Rounding, TimeBase};

use crate::encoder::{SiskinEncoder, SiskinPacket};
use crate::pointers;
use crate::status::{Failure, SiskinStatus, guarded_unit};

/// A file that is written. What has been written plays at any time, also if the program ends there.
pub struct SiskinWriter {
    inner: Writer,
    path: String,
    file: BufWriter<File>,
    /// Of samples.
    clock: TimeBase,
    bytes: Vec<u8>,
}

impl SiskinWriter {
    fn write_out(&mut self) -> Result<(), Failure> {
        let written = self.file.write_all(&self.bytes).and_then(|()| self.file.flush());
        self.bytes.clear();
        written.map_err(|e| Failure::io(&self.path, &e))
    }

    fn nanoseconds(&self, samples: u64) -> Result<u64, Failure> {
        let ns = self.clock.ticks_to_ns(samples, Rounding::Down);
        ns.ok_or_else(|| Failure::parameter(format!("sample {samples} lies beyond all time")))
    }
}

/// Creates a Matroska file for an encoder's packets, by its path in UTF-8. A file of that name is written over.
///
/// # Safety
/// `path` is null or a text that ends with a zero byte; `encoder` is null or made by `siskin_encoder_new`; `writer` can be written
/// to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_writer_open(
    path: *const c_char,
    encoder: *const SiskinEncoder,
    writer: *mut *mut SiskinWriter,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { pointers::exclusive(writer, "writer") }?;
        *out = std::ptr::null_mut();
        // SAFETY: the caller's promise.
        let path = unsafe { pointers::text(path, "path") }?;
        let path = path.ok_or_else(|| Failure::parameter("path is null"))?;
        // SAFETY: the caller's promise.
        let encoder = unsafe { pointers::shared(encoder, "encoder") }?;
        let header = encoder.inner.stream_header();
        let track = Track::audio(header).with_frames_per_packet(header, encoder.inner.frames_per_packet());
        let writing_app = concat!("libsiskin ", env!("CARGO_PKG_VERSION")).into();
        let options = WriterOptions { mode: Mode::File, writing_app, ..Default::default() };
        let mut inner = Writer::new(vec![track], options)?;
        let clock = TimeBase::from_rate(header.sample_rate, 1)?;
        let mut bytes = Vec::new();
        inner.write_header(&mut bytes)?;
        let file = File::create(path).map_err(|e| Failure::io(path, &e))?;
        let mut made =
            SiskinWriter { inner, path: path.to_owned(), file: BufWriter::new(file), clock, bytes };
        made.write_out()?;
        pointers::hand_out(out, made);
        Ok(())
    })
}

/// Writes a packet; packets come in the order of the encoder.
///
/// # Safety
/// `writer` is null or made by `siskin_writer_open`; `packet` is null or as `siskin_encoder_pull` filled it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_writer_write(
    writer: *mut SiskinWriter,
    packet: *const SiskinPacket,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let writer = unsafe { pointers::exclusive(writer, "writer") }?;
        // SAFETY: the caller's promise.
        let packet = unsafe { pointers::shared(packet, "packet") }?;
        // SAFETY: the caller's promise.
        let data = unsafe { pointers::slice(packet.data, packet.length, "packet.data") }?;
        let start = writer.nanoseconds(packet.first_sample)?;
        let end = writer.nanoseconds(packet.first_sample.saturating_add(packet.sample_count))?;
        let SiskinWriter { inner, bytes, .. } = &mut *writer;
        // Sound may be begun at any packet that has the header, and the container repeats the header at its start.
        inner.write_block(0, start, end - start, true, data, bytes)?;
        writer.write_out()
    })
}

/// Ends the file, with its length and index, and frees the writer, also after an error. A null pointer is nothing.
///
/// # Safety
/// `writer` comes from `siskin_writer_open` and is not used after.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_writer_close(writer: *mut SiskinWriter) -> SiskinStatus {
    guarded_unit(|| {
        if writer.is_null() {
            return Ok(());
        }
        // SAFETY: the caller's promise; given back once.
        let mut writer = unsafe { Box::from_raw(writer) };
        let SiskinWriter { inner, bytes, .. } = &mut *writer;
        let patches = inner.finish(bytes)?;
        writer.write_out()?;
        for patch in patches {
            let SiskinWriter { file, path, .. } = &mut *writer;
            patch.write_to(file).map_err(|e| Failure::io(path, &e))?;
        }
        writer.write_out()
    })
}
