//! `Decoder`.

use std::sync::Mutex;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use siskin_core::audio;
use siskin_core::bundle::Bundle;
use siskin_core::tokens::{Format, Layout, OnBadToken, TokenStream};

use crate::arrays;
use crate::errors::to_py_err;
use crate::model::{Model, load_runtime, lock, warn_deprecated};
use crate::stream::Snapshot;

/// Codes or latents in, samples out.
///
/// Decoder(model="speech-24k", provider="auto")
#[pyclass(frozen, module = "siskin")]
pub(crate) struct Decoder {
    model: Model,
    /// Frames go in without a layout, as codes may have any number of stages.
    // A stream and no decoder: it drops the delay, trims, and saves its state.
    inner: Mutex<TokenStream>,
}

#[pymethods]
impl Decoder {
    #[new]
    #[pyo3(signature = (model = "speech-24k", provider = "auto"))]
    fn new(py: Python<'_>, model: &str, provider: &str) -> PyResult<Self> {
        // Without the GIL: reading and checking a bundle takes a while.
        let made = py.detach(|| -> siskin_core::Result<_> {
            let bundle = Bundle::find(model)?;
            let decoder = audio::Decoder::new(&bundle, &load_runtime(provider)?)?;
            let quantizer = &bundle.manifest().quantizer;
            let codes = usize::from(quantizer.stages) * usize::from(quantizer.groups);
            // A layout is needed to make a stream; `push_codes` does not use it.
            let format = Format::new(codes, quantizer.size, Layout::parallel(codes), &Default::default())?;
            Ok((bundle, TokenStream::from_parts(decoder, format, OnBadToken::Refuse)))
        });
        let (bundle, stream) = made.map_err(to_py_err)?;
        let provider = stream.provider().name();
        Ok(Self { model: Model { bundle, provider }, inner: Mutex::new(stream) })
    }

    /// Decodes codes [K, t] of any number of frames, K any whole number of stages, and returns their samples.
    fn push<'py>(&self, py: Python<'py>, codes: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        // All codes are checked first, so that an error leaves the stream unchanged.
        let (frames, per_frame) = self.check_codes(codes)?;
        let pcm = py.detach(|| decode_frames(&mut lock(&self.inner), &frames, per_frame));
        arrays::samples_to_array(py, pcm.map_err(to_py_err)?, self.channels())
    }

    /// Decodes latents float32 [t, D] in place of codes.
    fn push_latents<'py>(&self, py: Python<'py>, latents: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (values, shape) = arrays::read_matrix(latents, "latents")?;
        let dim = self.model.manifest().latent_len();
        if shape[1] != dim {
            return Err(PyValueError::new_err(format!("latents of shape {shape:?}, allowed: [T, {dim}]")));
        }
        let pcm = py.detach(|| {
            let mut pcm = Vec::new();
            lock(&self.inner).push_latents(&values, &mut pcm).map(|_| pcm)
        });
        arrays::samples_to_array(py, pcm.map_err(to_py_err)?, self.channels())
    }

    /// Conceals lost frames (PLC).
    fn conceal<'py>(&self, py: Python<'py>, frames: u32) -> PyResult<Bound<'py, PyAny>> {
        let pcm = py.detach(|| {
            let mut pcm = Vec::new();
            lock(&self.inner).conceal(frames, &mut pcm).map(|()| pcm)
        });
        arrays::samples_to_array(py, pcm.map_err(to_py_err)?, self.channels())
    }

    /// Ends the stream and returns the samples that are still to come, of codecs that lag behind their codes; the next codes
    /// begin a new one.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let pcm = py.detach(|| {
            let mut pcm = Vec::new();
            lock(&self.inner).finish_stream(&mut pcm).map(|_| pcm)
        });
        arrays::samples_to_array(py, pcm.map_err(to_py_err)?, self.channels())
    }

    /// Samples of a whole recording's codes [K, T], trimmed to `length` samples if given. Codecs of segments need the `scales` of
    /// the encoder as well.
    #[pyo3(signature = (codes, length = None, scales = None))]
    fn decode<'py>(
        &self,
        py: Python<'py>,
        codes: &Bound<'py, PyAny>,
        length: Option<u64>,
        scales: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let scales = scales.map(arrays::read_scales).transpose()?.unwrap_or_default();
        let (frames, per_frame) = self.check_codes(codes)?;
        let pcm = py.detach(|| -> siskin_core::Result<Vec<f32>> {
            let mut inner = lock(&self.inner);
            inner.reset();
            if let Some(length) = length {
                inner.set_length(length);
            }
            inner.set_scales(scales)?;
            // The lock is held from reset to reset, so that another thread's codes cannot come between.
            let decoded = decode_frames(&mut inner, &frames, per_frame);
            let decoded = decoded.and_then(|mut pcm| inner.finish_stream(&mut pcm).map(|_| pcm));
            inner.reset();
            decoded
        });
        arrays::samples_to_array(py, pcm.map_err(to_py_err)?, self.channels())
    }

    /// Back to the state of a new object: the next call begins a new stream.
    fn reset(&self, py: Python<'_>) {
        py.detach(|| lock(&self.inner).reset());
    }

    /// The state of the stream, for restore.
    fn snapshot(&self, py: Python<'_>) -> Snapshot {
        py.detach(|| Snapshot::from_stream(&lock(&self.inner)))
    }

    /// Restores a state of this stream or another of the same bundle.
    fn restore(&self, py: Python<'_>, snapshot: &Snapshot) -> PyResult<()> {
        py.detach(|| snapshot.restore_into(&mut lock(&self.inner))).map_err(to_py_err)
    }

    /// Channels of the samples, which have the shape [samples] with one and [channels, samples] with more.
    #[getter]
    fn channels(&self) -> u8 {
        self.model.manifest().channels
    }

    #[getter]
    fn sample_rate(&self) -> u32 {
        self.model.manifest().sample_rate
    }

    #[getter]
    fn hop(&self) -> u16 {
        self.model.manifest().hop
    }

    #[getter]
    fn frame_rate(&self) -> f64 {
        self.model.bundle.stream_header().frame_rate()
    }

    /// Residual stages of the bundle; codes may have fewer.
    #[getter]
    fn stages(&self) -> u8 {
        self.model.manifest().quantizer.stages
    }

    /// Codes per frame with all stages: stages x groups. Codes may have fewer.
    #[getter]
    fn codes_per_frame(&self) -> usize {
        self.model.max_codes_per_frame()
    }

    /// Deprecated: codes_per_frame.
    #[getter]
    fn codebooks(&self, py: Python<'_>) -> PyResult<usize> {
        warn_deprecated(
            py,
            c"Decoder.codebooks is deprecated: use codes_per_frame (stages x groups) or stages",
        )?;
        Ok(self.codes_per_frame())
    }

    /// Codebooks per residual stage: codes are dropped or added in whole stages.
    #[getter]
    fn groups(&self) -> u8 {
        self.model.manifest().quantizer.groups
    }

    #[getter]
    fn codebook_size(&self) -> u32 {
        self.model.manifest().quantizer.size
    }

    #[getter]
    fn delay(&self) -> u16 {
        self.model.manifest().delay
    }

    #[getter]
    fn latent_dim(&self) -> usize {
        self.model.manifest().latent_len()
    }

    #[getter]
    fn model(&self) -> &str {
        &self.model.manifest().name
    }

    #[getter]
    fn model_id(&self) -> String {
        self.model.bundle.id().to_string()
    }

    #[getter]
    fn provider(&self) -> &str {
        self.model.provider
    }
}

impl Decoder {
    /// Checks that codes are whole stages of entries of the codebooks; returns frames `[T, K]` and K.
    fn check_codes(&self, codes: &Bound<'_, PyAny>) -> PyResult<(Vec<u16>, usize)> {
        let (frames, per_frame) = arrays::read_codes(codes)?;
        let (all, groups) = (self.codes_per_frame(), usize::from(self.groups()));
        // Whole stages: a stage with a missing group would leave a part of the latent at the stage before.
        if per_frame == 0 || per_frame > all || !per_frame.is_multiple_of(groups) {
            let text = format!("{per_frame} codes per frame, allowed: up to {all} in steps of {groups}");
            return Err(PyValueError::new_err(text));
        }
        let size = self.codebook_size();
        if let Some(at) = frames.iter().position(|&c| u32::from(c) >= size) {
            // Named as the caller's array has it, [K, T].
            let (t, k, value) = (at / per_frame, at % per_frame, frames[at]);
            let text = format!("codes[{k}, {t}] is {value}, allowed: 0 to {}", size - 1);
            return Err(crate::errors::TokenError::new_err(text));
        }
        Ok((frames, per_frame))
    }
}

fn decode_frames(
    stream: &mut TokenStream,
    frames: &[u16],
    per_frame: usize,
) -> siskin_core::Result<Vec<f32>> {
    let mut pcm = Vec::new();
    for frame in frames.chunks_exact(per_frame) {
        stream.push_codes(frame, &mut pcm)?;
    }
    Ok(pcm)
}
