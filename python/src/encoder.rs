//! `Encoder`.

use std::sync::Mutex;

use numpy::{PyArray1, PyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use siskin_core::audio::MAX_BLOCK;
use siskin_core::bundle::Bundle;
use siskin_core::tokens::{TokenMeta, Tokenizer};

use crate::arrays;
use crate::errors::to_py_err;
use crate::model::{Model, load_runtime, lock, warn_deprecated};

/// Samples in, codes out.
///
/// Encoder(model="speech-24k", stages=None, search_width=8, provider="auto")
#[pyclass(frozen, module = "siskin")]
pub(crate) struct Encoder {
    model: Model,
    stages: u8,
    codes_per_frame: usize,
    inner: Mutex<Tokenizer>,
}

#[pymethods]
impl Encoder {
    #[new]
    #[pyo3(signature = (model = "speech-24k", stages = None, search_width = 8, provider = "auto"))]
    fn new(
        py: Python<'_>,
        model: &str,
        stages: Option<u8>,
        search_width: usize,
        provider: &str,
    ) -> PyResult<Self> {
        // Checked here: the core takes 0 for 1 silently, and sets no upper bound.
        if !(1..=64).contains(&search_width) {
            return Err(PyValueError::new_err(format!("search_width is {search_width}, allowed: 1 to 64")));
        }
        let made = py.detach(|| -> siskin_core::Result<_> {
            let bundle = Bundle::find(model)?;
            // In the parallel layout, without delays, tokens are the codes themselves.
            let mut tokenizer = Tokenizer::new(&bundle, &load_runtime(provider)?, "parallel", stages)?;
            tokenizer.set_search_width(search_width);
            Ok((bundle, tokenizer))
        });
        let (bundle, tokenizer) = made.map_err(to_py_err)?;
        let provider = tokenizer.provider().name();
        let stages = stages.unwrap_or(bundle.manifest().default_stages);
        let codes_per_frame = tokenizer.format().codes_per_frame();
        let model = Model { bundle, provider };
        Ok(Self { model, stages, codes_per_frame, inner: Mutex::new(tokenizer) })
    }

    /// Encodes any number of samples and returns the codes uint16 [K, t] of the frames that are complete.
    fn push<'py>(&self, py: Python<'py>, pcm: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray2<u16>>> {
        let pcm = arrays::read_samples(pcm, self.channels())?;
        let tokens = py.detach(|| {
            let mut tokens = Vec::new();
            lock(&self.inner).push_samples(&pcm, &mut tokens).map(|()| tokens)
        });
        self.codes_to_array(py, &tokens.map_err(to_py_err)?)
    }

    /// Ends the stream and returns the codes of the rest; the encoder then starts a new stream.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<u16>>> {
        let tokens = py.detach(|| {
            let mut tokens = Vec::new();
            lock(&self.inner).finish_stream(false, &mut tokens).map(|_| tokens)
        });
        self.codes_to_array(py, &tokens.map_err(to_py_err)?)
    }

    /// Codes uint16 [K, T] of a whole recording. Pass its length to Decoder.decode to get as many samples back.
    fn encode<'py>(&self, py: Python<'py>, pcm: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray2<u16>>> {
        let pcm = arrays::read_samples(pcm, self.channels())?;
        let tokens = py.detach(|| -> siskin_core::Result<Vec<i64>> {
            // Locked for the whole recording, so that another thread's `push` cannot come between.
            let (mut inner, mut tokens) = (lock(&self.inner), Vec::new());
            inner.reset();
            // A whole recording may run in blocks of frames; `push` gives codes as soon as they are there.
            inner.set_block(MAX_BLOCK);
            let encoded = inner.push_samples(&pcm, &mut tokens);
            let encoded = encoded.and_then(|()| inner.finish_stream(false, &mut tokens).map(drop));
            inner.set_block(1);
            encoded.map(|()| tokens)
        });
        self.codes_to_array(py, &tokens.map_err(to_py_err)?)
    }

    /// Back to the state of a new object: the next call begins a new stream.
    fn reset(&self, py: Python<'_>) {
        py.detach(|| lock(&self.inner).reset());
    }

    /// The scales of the segments since the last call, float32 [segments], of a codec that codes those: Decoder.decode needs them
    /// beside the codes.
    fn scales<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        let scales = py.detach(|| lock(&self.inner).take_scales());
        PyArray1::from_vec(py, scales)
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

    /// Residual stages per frame.
    #[getter]
    fn stages(&self) -> u8 {
        self.stages
    }

    /// Codes per frame, K: stages x groups.
    #[getter]
    fn codes_per_frame(&self) -> usize {
        self.codes_per_frame
    }

    /// Deprecated: codes_per_frame.
    #[getter]
    fn codebooks(&self, py: Python<'_>) -> PyResult<usize> {
        warn_deprecated(
            py,
            c"Encoder.codebooks is deprecated: use codes_per_frame (stages x groups) or stages",
        )?;
        Ok(self.codes_per_frame)
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

    /// Samples by which the decoder lags; Decoder drops them at the start of a stream.
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

    /// The stream header in hexadecimal, as token files and shards hold it.
    #[getter]
    fn stream_header(&self) -> PyResult<String> {
        let meta = TokenMeta::from_stream_header(&self.model.bundle.stream_header(), self.codebook_size());
        let value = serde_json::to_value(&meta).map_err(|e| PyValueError::new_err(e.to_string()))?;
        Ok(value["stream_header"].as_str().unwrap_or_default().to_owned())
    }

    #[getter]
    fn provider(&self) -> &str {
        self.model.provider
    }
}

impl Encoder {
    fn codes_to_array<'py>(&self, py: Python<'py>, tokens: &[i64]) -> PyResult<Bound<'py, PyArray2<u16>>> {
        // In the parallel layout tokens are codes.
        let codes: Vec<u16> = tokens.iter().map(|&t| t as u16).collect();
        arrays::codes_to_array(py, &codes, self.codes_per_frame)
    }
}
