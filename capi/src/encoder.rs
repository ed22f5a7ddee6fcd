//! Samples to packets.

use std::collections::VecDeque;

use siskin_core::audio::{EncodedPacket, Encoder, EncoderConfig, RateMode};

use crate::model::SiskinModel;
use crate::pointers;
use crate::status::{Failure, SiskinStatus, guarded, guarded_unit};

/// An encoder of one stream.
pub struct SiskinEncoder {
    pub(crate) inner: Encoder,
    /// The stream header's bytes.
    header: Vec<u8>,
    ready: VecDeque<ReadyPacket>,
    /// The packet that was handed out last.
    current: Vec<u8>,
}

struct ReadyPacket {
    data: Vec<u8>,
    first_sample: u64,
    sample_count: u64,
    is_random_access: bool,
}

/// How to encode. Zero in a field takes what it says there, so `SiskinEncoderConfig config = {0};` is a good start.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct SiskinEncoderConfig {
    /// Bits per second on average, packet heads included; 0 for the same stages in every frame.
    pub bitrate: u32,
    /// Residual stages, at most those of the model; 0 for the model's default.
    pub stages: u32,
    /// Frames of a packet, at most 500; 0 for 1, which suits live streams. 50 suit files. A model that codes segments makes a
    /// packet of each and ignores it.
    pub frames_per_packet: u32,
    /// Earlier frames that each packet repeats, so that the next packet restores them after a loss; 0 for none.
    pub redundancy: u32,
    /// Discontinuous transmission: background noise is described in few packets.
    pub dtx: bool,
}

/// A packet. Its bytes are the encoder's, until the next call with it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct SiskinPacket {
    /// The packet's bytes.
    pub data: *const u8,
    /// How many.
    pub length: usize,
    /// Place of its first sample in the input, in samples per channel.
    pub first_sample: u64,
    /// Samples per channel that it decodes to.
    pub sample_count: u64,
    /// Whether decoding may begin here.
    pub is_random_access: bool,
}

/// Makes an encoder. A null `config` takes the default of everything.
///
/// # Safety
/// `model` is null or open, `config` null or readable; `encoder` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_encoder_new(
    model: *const SiskinModel,
    config: *const SiskinEncoderConfig,
    encoder: *mut *mut SiskinEncoder,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { pointers::exclusive(encoder, "encoder") }?;
        *out = std::ptr::null_mut();
        // SAFETY: the caller's promise.
        let model = unsafe { pointers::shared(model, "model") }?;
        let given = if config.is_null() {
            SiskinEncoderConfig::default()
        } else {
            // SAFETY: the caller's promise.
            *unsafe { pointers::shared(config, "config") }?
        };
        let inner = Encoder::new(&model.bundle, &model.runtime, &core_config(&given)?)?;
        let header = inner.stream_header().to_bytes();
        let made = SiskinEncoder { inner, header, ready: VecDeque::new(), current: Vec::new() };
        pointers::hand_out(out, made);
        Ok(())
    })
}

fn core_config(given: &SiskinEncoderConfig) -> Result<EncoderConfig, Failure> {
    let byte = |name: &str, value: u32| {
        u8::try_from(value).map_err(|_| Failure::parameter(format!("{name} is {value}, allowed: up to 255")))
    };
    let default = EncoderConfig::default();
    Ok(EncoderConfig {
        stages: (given.stages > 0).then(|| byte("stages", given.stages)).transpose()?,
        frames_per_packet: given.frames_per_packet.max(1),
        redundancy: byte("redundancy", given.redundancy)?,
        dtx: given.dtx,
        rate_mode: match given.bitrate {
            0 => RateMode::Constant,
            bitrate => RateMode::Variable { bitrate },
        },
        ..default
    })
}

/// The header of the stream, which a decoder needs before a packet without it; containers keep it. The bytes are the encoder's, as
/// long as it lives.
///
/// # Safety
/// `encoder` is null or made by `siskin_encoder_new`; `data` and `length` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_encoder_header(
    encoder: *const SiskinEncoder,
    data: *mut *const u8,
    length: *mut usize,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let encoder = unsafe { pointers::shared(encoder, "encoder") }?;
        // SAFETY: the caller's promise.
        *unsafe { pointers::exclusive(data, "data") }? = encoder.header.as_ptr();
        // SAFETY: the caller's promise.
        *unsafe { pointers::exclusive(length, "length") }? = encoder.header.len();
        Ok(())
    })
}

/// Encodes any number of samples, -1 to 1, at the model's rate, those of two channels interleaved. Packets are the same however
/// they are cut.
///
/// # Safety
/// `encoder` is null or made by `siskin_encoder_new`; `samples` has `count` values, of all channels.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_encoder_push(
    encoder: *mut SiskinEncoder,
    samples: *const f32,
    count: usize,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let encoder = unsafe { pointers::exclusive(encoder, "encoder") }?;
        // SAFETY: the caller's promise.
        let samples = unsafe { pointers::slice(samples, count, "samples") }?;
        let SiskinEncoder { inner, ready, .. } = encoder;
        inner.push_samples(samples, &mut |packet| keep(ready, &packet))
    })
}

/// Ends the stream: the last packets become ready. The next samples begin a new one.
///
/// # Safety
/// `encoder` is null or made by `siskin_encoder_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_encoder_finish(encoder: *mut SiskinEncoder) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let encoder = unsafe { pointers::exclusive(encoder, "encoder") }?;
        let SiskinEncoder { inner, ready, .. } = encoder;
        inner.finish_stream(&mut |packet| keep(ready, &packet))
    })
}

fn keep(ready: &mut VecDeque<ReadyPacket>, packet: &EncodedPacket<'_>) -> Result<(), Failure> {
    ready.push_back(ReadyPacket {
        data: packet.data.to_vec(),
        first_sample: packet.position,
        sample_count: packet.samples,
        is_random_access: packet.is_random_access,
    });
    Ok(())
}

/// Takes the next packet that is ready; `SISKIN_END` if none is.
///
/// # Safety
/// `encoder` is null or made by `siskin_encoder_new`; `packet` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_encoder_pull(
    encoder: *mut SiskinEncoder,
    packet: *mut SiskinPacket,
) -> SiskinStatus {
    guarded(|| {
        // SAFETY: the caller's promise.
        let encoder = unsafe { pointers::exclusive(encoder, "encoder") }?;
        // SAFETY: the caller's promise.
        let out = unsafe { pointers::exclusive(packet, "packet") }?;
        let Some(next) = encoder.ready.pop_front() else { return Ok(SiskinStatus::SISKIN_END) };
        encoder.current = next.data;
        *out = SiskinPacket {
            data: encoder.current.as_ptr(),
            length: encoder.current.len(),
            first_sample: next.first_sample,
            sample_count: next.sample_count,
            is_random_access: next.is_random_access,
        };
        Ok(SiskinStatus::SISKIN_OK)
    })
}

/// Frees an encoder. A null pointer is nothing.
///
/// # Safety
/// `encoder` comes from `siskin_encoder_new` and is not used after.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_encoder_free(encoder: *mut SiskinEncoder) {
    // SAFETY: the caller's promise.
    unsafe { pointers::free(encoder) }
}
