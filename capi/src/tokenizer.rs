//! Samples to the codes that language models work with.

use siskin_core::tokens::Tokenizer;

use crate::model::SiskinModel;
use crate::pointers;
use crate::status::{Failure, SiskinStatus, guarded_unit};

/// A tokenizer of one stream.
pub struct SiskinTokenizer {
    inner: Tokenizer,
    tokens: Vec<i64>,
    codes: Vec<u16>,
}

impl SiskinTokenizer {
    /// Gathers codes with `work` in the tokenizer's own buffer and hands that out.
    ///
    /// # Safety
    /// `codes` and `count` can be written to, if they are not null.
    unsafe fn gather_with(
        &mut self,
        codes: *mut *const u16,
        count: *mut usize,
        work: impl FnOnce(&mut Tokenizer, &mut Vec<i64>) -> siskin_core::Result<()>,
    ) -> Result<(), Failure> {
        // SAFETY: the caller's promise.
        let codes = unsafe { pointers::exclusive(codes, "codes") }?;
        // SAFETY: the caller's promise.
        let count = unsafe { pointers::exclusive(count, "count") }?;
        (*codes, *count) = (std::ptr::null(), 0);
        self.tokens.clear();
        self.codes.clear();
        work(&mut self.inner, &mut self.tokens)?;
        // In the parallel layout, without delays, tokens are the codes themselves.
        for &token in &self.tokens {
            let code = u16::try_from(token).map_err(|_| Failure::internal(format!("{token} is no code")))?;
            self.codes.push(code);
        }
        (*codes, *count) = (self.codes.as_ptr(), self.codes.len());
        Ok(())
    }
}

/// Makes a tokenizer of `stages` residual stages; 0 for the model's default. A model that codes segments is refused with
/// `SISKIN_ERROR_PARAMETER`: its codes mean nothing without each segment's loudness, which packets carry.
///
/// # Safety
/// `model` is null or open; `tokenizer` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_tokenizer_new(
    model: *const SiskinModel,
    stages: u32,
    tokenizer: *mut *mut SiskinTokenizer,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { pointers::exclusive(tokenizer, "tokenizer") }?;
        *out = std::ptr::null_mut();
        // SAFETY: the caller's promise.
        let model = unsafe { pointers::shared(model, "model") }?;
        if model.bundle.manifest().segments.is_some() {
            let name = &model.bundle.manifest().name;
            return Err(Failure::parameter(format!("{name} codes segments, whose codes only packets hold")));
        }
        let wanted = u8::try_from(stages)
            .map_err(|_| Failure::parameter(format!("stages is {stages}, allowed: up to 255")))?;
        let stages = (wanted > 0).then_some(wanted);
        let inner = Tokenizer::new(&model.bundle, &model.runtime, "parallel", stages)?;
        pointers::hand_out(out, SiskinTokenizer { inner, tokens: Vec::new(), codes: Vec::new() });
        Ok(())
    })
}

/// Encodes any number of samples, those of two channels interleaved, and gives the codes of the frames that are complete: frame by
/// frame, within a frame stage by stage. They are the tokenizer's until the next call with it.
///
/// # Safety
/// `tokenizer` is null or made by `siskin_tokenizer_new`; `samples` has `sample_count` values, of all channels; `codes` and `count`
/// can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_tokenizer_push(
    tokenizer: *mut SiskinTokenizer,
    samples: *const f32,
    sample_count: usize,
    codes: *mut *const u16,
    count: *mut usize,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let tokenizer = unsafe { pointers::exclusive(tokenizer, "tokenizer") }?;
        // SAFETY: the caller's promise.
        let samples = unsafe { pointers::slice(samples, sample_count, "samples") }?;
        let work = |inner: &mut Tokenizer, out: &mut Vec<i64>| inner.push_samples(samples, out);
        // SAFETY: the caller's promise.
        unsafe { tokenizer.gather_with(codes, count, work) }
    })
}

/// Ends the stream and gives the codes of the rest. The next samples begin a new stream.
///
/// # Safety
/// As for `siskin_tokenizer_push`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_tokenizer_finish(
    tokenizer: *mut SiskinTokenizer,
    codes: *mut *const u16,
    count: *mut usize,
) -> SiskinStatus {
    guarded_unit(|| {
        // SAFETY: the caller's promise.
        let tokenizer = unsafe { pointers::exclusive(tokenizer, "tokenizer") }?;
        let work = |inner: &mut Tokenizer, out: &mut Vec<i64>| inner.finish_stream(false, out).map(drop);
        // SAFETY: the caller's promise.
        unsafe { tokenizer.gather_with(codes, count, work) }
    })
}

/// Frees a tokenizer. A null pointer is nothing.
///
/// # Safety
/// `tokenizer` comes from `siskin_tokenizer_new` and is not used after.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_tokenizer_free(tokenizer: *mut SiskinTokenizer) {
    // SAFETY: the caller's promise.
    unsafe { pointers::free(tokenizer) }
}
