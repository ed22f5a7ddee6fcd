//! The only unsafe code: a thin safe layer over the C functions of libopus that this tool calls.
//!
//! `opusic-c` wraps most of them, but its redundancy decoder rebuilds only the one frame before a packet, and bursts
//! need more. Every pointer handed to C is either one that C returned (never null, freed once in `Drop`) or that of a
//! slice whose length goes with it.
use std::ffi::c_int;
use std::ptr::{self, NonNull};

use anyhow::{Result, bail};
use opusic_sys as sys;

/// Samples a second on both sides.
pub(crate) const RATE: usize = 24_000;
/// Samples of a 20 ms frame.
pub(crate) const FRAME: usize = RATE / 50;

fn check(what: &str, code: c_int) -> Result<c_int> {
    if code < 0 {
        bail!("libopus cannot {what}: error {code}");
    }
    Ok(code)
}

fn own<T>(what: &str, pointer: *mut T, code: c_int) -> Result<NonNull<T>> {
    check(what, code)?;
    NonNull::new(pointer).ok_or_else(|| anyhow::anyhow!("libopus cannot {what}: no memory"))
}

/// A mono encoder in voice mode.
pub(crate) struct Encoder(NonNull<sys::OpusEncoder>);

impl Encoder {
    pub(crate) fn new() -> Result<Self> {
        let mut code = 0;
        // SAFETY: valid rate, channel count and application; `code` outlives the call.
        let pointer =
            unsafe { sys::opus_encoder_create(RATE as i32, 1, sys::OPUS_APPLICATION_VOIP, &mut code) };
        own("make an encoder", pointer, code).map(Self)
    }

    /// Sets an option that takes one 32-bit integer, as all used here do.
    pub(crate) fn set(&mut self, request: c_int, value: i32) -> Result<()> {
        // SAFETY: the state is live; every `*_SET_*` request read here takes exactly one i32.
        check("set an option of the encoder", unsafe {
            sys::opus_encoder_ctl(self.0.as_ptr(), request, value)
        })?;
        Ok(())
    }

    /// Samples by which the decoded signal is late.
    pub(crate) fn lookahead(&mut self) -> Result<usize> {
        let mut value: i32 = 0;
        // SAFETY: the request writes one i32 through the pointer.
        check("tell its look-ahead", unsafe {
            sys::opus_encoder_ctl(self.0.as_ptr(), sys::OPUS_GET_LOOKAHEAD_REQUEST, &mut value as *mut i32)
        })?;
        Ok(value.max(0) as usize)
    }

    /// One frame in, one packet out.
    pub(crate) fn encode(&mut self, frame: &[f32; FRAME]) -> Result<Vec<u8>> {
        let mut packet = vec![0u8; 4000];
        // SAFETY: `frame` holds FRAME mono samples and `packet` as many bytes as said.
        let size = check("encode", unsafe {
            sys::opus_encode_float(
                self.0.as_ptr(),
                frame.as_ptr(),
                FRAME as c_int,
                packet.as_mut_ptr(),
                packet.len() as i32,
            )
        })?;
        packet.truncate(size as usize);
        Ok(packet)
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: made by opus_encoder_create, freed only here.
        unsafe { sys::opus_encoder_destroy(self.0.as_ptr()) }
    }
}

/// A mono decoder with the deep redundancy that later packets may carry.
pub(crate) struct Decoder {
    state: NonNull<sys::OpusDecoder>,
    reader: NonNull<sys::OpusDREDDecoder>,
    redundancy: NonNull<sys::OpusDRED>,
}

impl Decoder {
    /// `complexity`: below 5 nothing neural, 5 deep concealment, 6 also LACE, 7 and above NoLACE.
    pub(crate) fn new(complexity: i32) -> Result<Self> {
        let mut code = 0;
        // SAFETY: valid rate and channel count; `code` outlives the calls.
        let state =
            own("make a decoder", unsafe { sys::opus_decoder_create(RATE as i32, 1, &mut code) }, code)?;
        // SAFETY: as above.
        let reader = own("read redundancy", unsafe { sys::opus_dred_decoder_create(&mut code) }, code)?;
        // SAFETY: as above.
        let redundancy = own("keep redundancy", unsafe { sys::opus_dred_alloc(&mut code) }, code)?;
        let decoder = Self { state, reader, redundancy };
        // SAFETY: the state is live; the request takes one i32.
        check("set the decoder's complexity", unsafe {
            sys::opus_decoder_ctl(decoder.state.as_ptr(), sys::OPUS_SET_COMPLEXITY_REQUEST, complexity)
        })?;
        Ok(decoder)
    }

    /// Decodes a packet, or conceals a frame when there is none.
    pub(crate) fn decode(&mut self, packet: Option<&[u8]>) -> Result<[f32; FRAME]> {
        let mut out = [0.0; FRAME];
        let (data, size) = packet.map_or((ptr::null(), 0), |p| (p.as_ptr(), p.len() as i32));
        // SAFETY: `data` and `size` describe the packet or are null and zero; `out` holds FRAME mono samples.
        let samples = check("decode", unsafe {
            sys::opus_decode_float(self.state.as_ptr(), data, size, out.as_mut_ptr(), FRAME as c_int, 0)
        })?;
        if samples as usize != FRAME {
            bail!("a packet of {samples} samples instead of {FRAME}");
        }
        Ok(out)
    }

    /// Rebuilds the `lost` frames before `packet` from its redundancy, oldest first. What it does not cover is concealed.
    pub(crate) fn rebuild(&mut self, packet: &[u8], lost: usize) -> Result<Vec<[f32; FRAME]>> {
        let mut end = 0;
        // SAFETY: reader and redundancy are live; `packet` is described by pointer and length.
        let covered = unsafe {
            sys::opus_dred_parse(
                self.reader.as_ptr(),
                self.redundancy.as_ptr(),
                packet.as_ptr(),
                packet.len() as i32,
                (lost * FRAME) as i32,
                RATE as i32,
                &mut end,
                0,
            )
        };
        let mut frames = Vec::with_capacity(lost);
        for distance in (1..=lost).rev() {
            if covered <= 0 {
                frames.push(self.decode(None)?);
                continue;
            }
            let mut out = [0.0; FRAME];
            // SAFETY: the redundancy was parsed above; `out` holds FRAME mono samples.
            check("rebuild a frame", unsafe {
                sys::opus_decoder_dred_decode_float(
                    self.state.as_ptr(),
                    self.redundancy.as_ptr(),
                    (distance * FRAME) as i32,
                    out.as_mut_ptr(),
                    FRAME as c_int,
                )
            })?;
            frames.push(out);
        }
        Ok(frames)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: each was made by its own create function and is freed only here.
        unsafe {
            sys::opus_dred_free(self.redundancy.as_ptr());
            sys::opus_dred_decoder_destroy(self.reader.as_ptr());
            sys::opus_decoder_destroy(self.state.as_ptr());
        }
    }
}
