//! A model bundle and the runtime that computes its networks.

use std::ffi::c_char;

use siskin_core::bundle::Bundle;
use siskin_core::runtime::{Runtime, RuntimeOptions};

use crate::pointers;
use crate::status::{SiskinStatus, guarded_unit};

/// A model bundle, open. Encoders and decoders of it share its weights.
pub struct SiskinModel {
    pub(crate) bundle: Bundle,
    pub(crate) runtime: Runtime,
}

/// What a model works with.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct SiskinModelInfo {
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// Samples per channel of a frame.
    pub frame_samples: u32,
    /// Samples per channel by which the decoder lags; the first packet of a stream drops them by itself.
    pub delay_samples: u32,
    /// Residual stages there are.
    pub stages: u32,
    /// Stages that an encoder uses if it is not told.
    pub default_stages: u32,
    /// Codes of a stage in each frame.
    pub codes_per_stage: u32,
    /// Codes lie below this.
    pub codebook_size: u32,
}

/// As the program's `--threads`: 20,000 took 15 s to start.
const MOST_THREADS: u32 = 256;

/// Opens a bundle by its name or folder; a null pointer takes "speech-24k", the shipped one. Bundles and ONNX Runtime are searched
/// where SECURITY.md says, never in the working directory. `threads` is that of one network, 0 for one, which is best for
/// a stream, 256 at most.
///
/// # Safety
/// `name_or_path` is null or a text that ends with a zero byte; `model` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_open(
    name_or_path: *const c_char,
    threads: u32,
    model: *mut *mut SiskinModel,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { pointers::exclusive(model, "model") }?;
        *out = std::ptr::null_mut();
        // SAFETY: the caller's promise.
        let name = unsafe { pointers::text(name_or_path, "name_or_path") }?;
        let bundle = Bundle::find(name.unwrap_or("speech-24k"))?;
        if threads > MOST_THREADS {
            return Err(
                siskin_core::Error::parameter("threads", threads, format!("0 to {MOST_THREADS}")).into()
            );
        }
        let options = RuntimeOptions { threads: threads.max(1) as usize, ..Default::default() };
        let runtime = load_runtime(&options)?;
        pointers::hand_out(out, SiskinModel { bundle, runtime });
        Ok(())
    })
}

/// rten where the library was built with it, which needs nothing that is not in the library; else ONNX Runtime.
#[cfg(feature = "rten")]
fn load_runtime(options: &RuntimeOptions) -> siskin_core::Result<Runtime> {
    Runtime::with_rten(options)
}

/// ONNX Runtime, from where it is found.
#[cfg(all(feature = "onnxruntime", not(feature = "rten")))]
fn load_runtime(options: &RuntimeOptions) -> siskin_core::Result<Runtime> {
    Runtime::load(options)
}

#[cfg(not(any(feature = "onnxruntime", feature = "rten")))]
compile_error!("libsiskin needs something that runs networks: the feature `onnxruntime` or `rten`");

/// Tells what a model works with.
///
/// # Safety
/// `model` is null or open; `info` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_info(
    model: *const SiskinModel,
    info: *mut SiskinModelInfo,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let model = unsafe { pointers::shared(model, "model") }?;
        // SAFETY: the caller's promise.
        let out = unsafe { pointers::exclusive(info, "info") }?;
        let manifest = model.bundle.manifest();
        *out = SiskinModelInfo {
            sample_rate: manifest.sample_rate,
            frame_samples: manifest.hop.into(),
            delay_samples: manifest.delay.into(),
            stages: manifest.quantizer.stages.into(),
            default_stages: manifest.default_stages.into(),
            codes_per_stage: manifest.quantizer.groups.into(),
            codebook_size: manifest.quantizer.size,
        };
        Ok(())
    })
}

/// Tells how many channels a model has, 1 or 2. Samples of two are interleaved, and functions that take or give an array of samples
/// count its values: two for each sample of both channels.
///
/// # Safety
/// `model` is null or open; `channels` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_channels(
    model: *const SiskinModel,
    channels: *mut u32,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let model = unsafe { pointers::shared(model, "model") }?;
        // SAFETY: the caller's promise.
        *unsafe { pointers::exclusive(channels, "channels") }? = model.bundle.manifest().channels.into();
        Ok(())
    })
}

/// Closes a model. Encoders, decoders and tokenizers that were made with it go on. A null pointer is nothing.
///
/// # Safety
/// `model` comes from `siskin_model_open` and is not used after.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_close(model: *mut SiskinModel) {
    // SAFETY: the caller's promise.
    unsafe { pointers::free(model) }
}
