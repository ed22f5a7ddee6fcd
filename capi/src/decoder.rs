//! Packets and codes to samples.

use siskin_core::audio::Decoder;
use siskin_core::bitstream::StreamHeader;

use crate::model::SiskinModel;
use crate::pointers;
use crate::status::{Failure, SiskinStatus, guarded_unit};

/// Most frames that one call conceals: ten seconds and more, after which a player would stop.
const MAX_CONCEALED: u32 = 500;

/// A decoder of one stream.
pub struct SiskinDecoder {
    inner: Decoder,
    samples: Vec<f32>,
}

impl SiskinDecoder {
    /// Decodes with `work` into the decoder's own buffer and hands that out.
    ///
    /// # Safety
    /// `samples` and `count` can be written to, if they are not null.
    unsafe fn decode_with(
        &mut self,
        samples: *mut *const f32,
        count: *mut usize,
        work: impl FnOnce(&mut Decoder, &mut Vec<f32>) -> siskin_core::Result<()>,
    ) -> Result<(), Failure> {
        // SAFETY: the caller's promise.
        let samples = unsafe { pointers::exclusive(samples, "samples") }?;
        // SAFETY: the caller's promise.
        let count = unsafe { pointers::exclusive(count, "count") }?;
        (*samples, *count) = (std::ptr::null(), 0);
        self.samples.clear();
        work(&mut self.inner, &mut self.samples)?;
        (*samples, *count) = (self.samples.as_ptr(), self.samples.len());
        Ok(())
    }
}

/// Makes a decoder. `header` is the stream's, from its container or encoder; without it (null, 0) packets that carry it are waited
/// for, and others are `SISKIN_ERROR_DATA`.
///
/// # Safety
/// `model` is null or open; `header` has `length` bytes; `decoder` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_decoder_new(
    model: *const SiskinModel,
    header: *const u8,
    length: usize,
    decoder: *mut *mut SiskinDecoder,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { pointers::exclusive(decoder, "decoder") }?;
        *out = std::ptr::null_mut();
        // SAFETY: the caller's promise.
        let model = unsafe { pointers::shared(model, "model") }?;
        // SAFETY: the caller's promise.
        let header = unsafe { pointers::slice(header, length, "header") }?;
        let mut inner = Decoder::new(&model.bundle, &model.runtime)?;
        if !header.is_empty() {
            inner.set_header(&StreamHeader::parse(header)?.0)?;
        }
        pointers::hand_out(out, SiskinDecoder { inner, samples: Vec::new() });
        Ok(())
    })
}

/// Decodes a packet. The samples, -1 to 1 and of two channels interleaved, are the decoder's until the next call with it; `count`
/// is the number of values, of all channels. After an error there are none, and `siskin_decoder_conceal` fills the gap.
///
/// # Safety
/// `decoder` is null or made by `siskin_decoder_new`; `packet` has `length` bytes; `samples` and `count` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_decoder_decode(
    decoder: *mut SiskinDecoder,
    packet: *const u8,
    length: usize,
    samples: *mut *const f32,
    count: *mut usize,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let decoder = unsafe { pointers::exclusive(decoder, "decoder") }?;
        // SAFETY: the caller's promise.
        let packet = unsafe { pointers::slice(packet, length, "packet") }?;
        let work = |inner: &mut Decoder, out: &mut Vec<f32>| inner.decode(packet, out).map(drop);
        // SAFETY: the caller's promise.
        unsafe { decoder.decode_with(samples, count, work) }
    })
}

/// Conceals `frames` lost frames (1 to 500) before the packet that came next (null, 0: none has). Frames that it repeats are
/// restored; it is decoded after, as ever. The samples are as those of `siskin_decoder_decode`, `frame_samples` of each channel for
/// each frame.
///
/// # Safety
/// As for `siskin_decoder_decode`; `next` has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_decoder_conceal(
    decoder: *mut SiskinDecoder,
    frames: u32,
    next: *const u8,
    length: usize,
    samples: *mut *const f32,
    count: *mut usize,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let decoder = unsafe { pointers::exclusive(decoder, "decoder") }?;
        // SAFETY: the caller's promise.
        let next = unsafe { pointers::slice(next, length, "next") }?;
        if !(1..=MAX_CONCEALED).contains(&frames) {
            return Err(Failure::parameter(format!("frames is {frames}, allowed: 1 to {MAX_CONCEALED}")));
        }
        let work =
            |inner: &mut Decoder, out: &mut Vec<f32>| inner.conceal_before_data(frames, next, out).map(drop);
        // SAFETY: the caller's promise.
        unsafe { decoder.decode_with(samples, count, work) }
    })
}

/// Decodes the codes of one frame, stage by stage, without a packet: fewer stages than the model has are a lower rate. Nothing is
/// dropped for the decoder's delay. The samples are as those of `siskin_decoder_decode`. A model that codes segments has packets
/// only: `SISKIN_ERROR_PARAMETER`.
///
/// # Safety
/// As for `siskin_decoder_decode`; `codes` has `code_count` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_decoder_decode_codes(
    decoder: *mut SiskinDecoder,
    codes: *const u16,
    code_count: usize,
    samples: *mut *const f32,
    count: *mut usize,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let decoder = unsafe { pointers::exclusive(decoder, "decoder") }?;
        // SAFETY: the caller's promise.
        let codes = unsafe { pointers::slice(codes, code_count, "codes") }?;
        let work = |inner: &mut Decoder, out: &mut Vec<f32>| inner.decode_codes(codes, out);
        // SAFETY: the caller's promise.
        unsafe { decoder.decode_with(samples, count, work) }
    })
}

/// Back to the state of a new decoder, for another stream with the same header.
///
/// # Safety
/// `decoder` is null or made by `siskin_decoder_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_decoder_reset(decoder: *mut SiskinDecoder) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        unsafe { pointers::exclusive(decoder, "decoder") }?.inner.reset();
        Ok(())
    })
}

/// Frees a decoder. A null pointer is nothing.
///
/// # Safety
/// `decoder` comes from `siskin_decoder_new` and is not used after.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_decoder_free(decoder: *mut SiskinDecoder) {
    // SAFETY: the caller's promise.
    unsafe { pointers::free(decoder) }
}
