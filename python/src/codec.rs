//! `Encoder` and `Decoder`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::{PyArray1, PyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use siskin_core::audio;
use siskin_core::bundle::{Bundle, Manifest};
use siskin_core::runtime::{Runtime, RuntimeOptions};
use siskin_core::tokens::{Format, Layout, OnBadToken, Tokenizer};

use crate::arrays;
use crate::errors::raise;
use crate::stream::Snapshot;

/// A lock that is taken whatever happened before; objects are reset after an error.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// ONNX Runtime for a provider's name.
pub(crate) fn runtime(provider: &str) -> siskin_core::Result<Runtime> {
    Runtime::load(&RuntimeOptions { provider: provider.parse()?, ..Default::default() })
}

/// What both directions tell of their bundle.
struct Facts {
    bundle: Bundle,
    provider: &'static str,
}

impl Facts {
    fn manifest(&self) -> &Manifest {
        self.bundle.manifest()
    }
}

/// Samples in, codes out.
///
/// Encoder(model="speech-24k", stages=None, search_width=8, provider="auto")
#[pyclass(frozen, module = "siskin")]
pub(crate) struct Encoder {
    facts: Facts,
    codebooks: usize,
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
        if !(1..=64).contains(&search_width) {
            return Err(PyValueError::new_err(format!("search_width is {search_width}, allowed: 1 to 64")));
        }
        let made = py.detach(|| -> siskin_core::Result<_> {
            let bundle = Bundle::find(model)?;
            let mut tokenizer = Tokenizer::new(&bundle, &runtime(provider)?, "parallel", stages)?;
            tokenizer.set_search_width(search_width);
            Ok((bundle, tokenizer))
        });
        let (bundle, tokenizer) = made.map_err(raise)?;
        let provider = tokenizer.provider().name();
        let codebooks = tokenizer.format().codebooks();
        Ok(Self { facts: Facts { bundle, provider }, codebooks, inner: Mutex::new(tokenizer) })
    }

    /// Takes samples, any number of them, and returns the codes uint16 [K, t] of the frames that are whole.
    fn push<'py>(&self, py: Python<'py>, pcm: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray2<u16>>> {
        let pcm = arrays::samples(pcm)?;
        let tokens = py.detach(|| {
            let mut tokens = Vec::new();
            lock(&self.inner).push(&pcm, &mut tokens).map(|()| tokens)
        });
        self.codes(py, &tokens.map_err(raise)?)
    }

    /// Ends the stream and returns the codes of what is left; the encoder then begins anew.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<u16>>> {
        let tokens = py.detach(|| {
            let mut tokens = Vec::new();
            lock(&self.inner).finish(false, &mut tokens).map(|_| tokens)
        });
        self.codes(py, &tokens.map_err(raise)?)
    }

    /// Codes of a whole recording. Its length is for Decoder.decode to be told.
    fn encode<'py>(&self, py: Python<'py>, pcm: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray2<u16>>> {
        let pcm = arrays::samples(pcm)?;
        let tokens = py.detach(|| -> siskin_core::Result<Vec<i64>> {
            let (mut inner, mut tokens) = (lock(&self.inner), Vec::new());
            inner.reset();
            inner.push(&pcm, &mut tokens)?;
            inner.finish(false, &mut tokens)?;
            Ok(tokens)
        });
        self.codes(py, &tokens.map_err(raise)?)
    }

    /// Forgets the stream.
    fn reset(&self, py: Python<'_>) {
        py.detach(|| lock(&self.inner).reset());
    }

    #[getter]
    fn sample_rate(&self) -> u32 {
        self.facts.manifest().sample_rate
    }

    #[getter]
    fn hop(&self) -> u16 {
        self.facts.manifest().hop
    }

    #[getter]
    fn frame_rate(&self) -> f64 {
        self.facts.bundle.stream_header().frame_rate()
    }

    #[getter]
    fn codebooks(&self) -> usize {
        self.codebooks
    }

    /// Codebooks a residual stage: codes are dropped or added in whole stages.
    #[getter]
    fn groups(&self) -> u8 {
        self.facts.manifest().quantizer.groups
    }

    #[getter]
    fn codebook_size(&self) -> u32 {
        self.facts.manifest().quantizer.size
    }

    /// Samples by which the decoder lags; Decoder drops them.
    #[getter]
    fn delay(&self) -> u16 {
        self.facts.manifest().delay
    }

    #[getter]
    fn latent_dim(&self) -> usize {
        self.facts.manifest().latent_dim
    }

    #[getter]
    fn model(&self) -> &str {
        &self.facts.manifest().name
    }

    #[getter]
    fn model_id(&self) -> String {
        self.facts.bundle.id().to_string()
    }

    #[getter]
    fn provider(&self) -> &str {
        self.facts.provider
    }
}

impl Encoder {
    fn codes<'py>(&self, py: Python<'py>, tokens: &[i64]) -> PyResult<Bound<'py, PyArray2<u16>>> {
        // In the parallel layout tokens are codes.
        let codes: Vec<u16> = tokens.iter().map(|&t| t as u16).collect();
        arrays::codes_out(py, &codes, self.codebooks)
    }
}

/// Codes or latents in, samples out.
///
/// Decoder(model="speech-24k", provider="auto")
#[pyclass(frozen, module = "siskin")]
pub(crate) struct Decoder {
    facts: Facts,
    groups: usize,
    /// Codes are looked at here, as they may have any number of stages.
    inner: Mutex<siskin_core::tokens::TokenStream>,
}

#[pymethods]
impl Decoder {
    #[new]
    #[pyo3(signature = (model = "speech-24k", provider = "auto"))]
    fn new(py: Python<'_>, model: &str, provider: &str) -> PyResult<Self> {
        let made = py.detach(|| -> siskin_core::Result<_> {
            let bundle = Bundle::find(model)?;
            let decoder = audio::Decoder::new(&bundle, &runtime(provider)?)?;
            let q = &bundle.manifest().quantizer;
            let codebooks = usize::from(q.stages) * usize::from(q.groups);
            let format = Format::new(codebooks, q.size, Layout::parallel(codebooks), &Default::default())?;
            Ok((bundle, siskin_core::tokens::TokenStream::from_parts(decoder, format, OnBadToken::Refuse)))
        });
        let (bundle, stream) = made.map_err(raise)?;
        let provider = stream.provider().name();
        let groups = usize::from(bundle.manifest().quantizer.groups);
        Ok(Self { facts: Facts { bundle, provider }, groups, inner: Mutex::new(stream) })
    }

    /// Takes codes [K, t] of any number of frames, K any whole number of stages, and returns their samples.
    fn push<'py>(&self, py: Python<'py>, codes: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let (frames, codebooks) = self.checked(codes)?;
        let pcm = py.detach(|| decode(&mut lock(&self.inner), &frames, codebooks));
        Ok(PyArray1::from_vec(py, pcm.map_err(raise)?))
    }

    /// Takes latents float32 [t, D] in place of codes.
    fn push_latents<'py>(
        &self,
        py: Python<'py>,
        latents: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let (values, shape) = arrays::matrix(latents, "latents")?;
        let dim = self.facts.manifest().latent_dim;
        if shape[1] != dim {
            return Err(PyValueError::new_err(format!("latents of shape {shape:?}, allowed: [T, {dim}]")));
        }
        let pcm = py.detach(|| {
            let mut pcm = Vec::new();
            lock(&self.inner).push_latents(&values, &mut pcm).map(|_| pcm)
        });
        Ok(PyArray1::from_vec(py, pcm.map_err(raise)?))
    }

    /// Bridges frames that are lost.
    fn conceal<'py>(&self, py: Python<'py>, frames: u32) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let pcm = py.detach(|| {
            let mut pcm = Vec::new();
            lock(&self.inner).conceal(frames, &mut pcm).map(|()| pcm)
        });
        Ok(PyArray1::from_vec(py, pcm.map_err(raise)?))
    }

    /// Ends the stream; the next codes begin another.
    fn finish(&self, py: Python<'_>) {
        py.detach(|| lock(&self.inner).reset());
    }

    /// Samples of a whole recording's codes [K, T], cut to `length` samples if that is given.
    #[pyo3(signature = (codes, length = None))]
    fn decode<'py>(
        &self,
        py: Python<'py>,
        codes: &Bound<'py, PyAny>,
        length: Option<u64>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let (frames, codebooks) = self.checked(codes)?;
        let pcm = py.detach(|| {
            let mut inner = lock(&self.inner);
            inner.reset();
            if let Some(length) = length {
                inner.set_length(length);
            }
            let pcm = decode(&mut inner, &frames, codebooks);
            inner.reset();
            pcm
        });
        Ok(PyArray1::from_vec(py, pcm.map_err(raise)?))
    }

    /// Forgets the stream.
    fn reset(&self, py: Python<'_>) {
        py.detach(|| lock(&self.inner).reset());
    }

    /// The stream's state, for restore.
    fn snapshot(&self, py: Python<'_>) -> Snapshot {
        py.detach(|| Snapshot::of(&lock(&self.inner)))
    }

    /// Goes back to a state, as if what came since had not.
    fn restore(&self, py: Python<'_>, snapshot: &Snapshot) -> PyResult<()> {
        py.detach(|| snapshot.put(&mut lock(&self.inner))).map_err(raise)
    }

    #[getter]
    fn sample_rate(&self) -> u32 {
        self.facts.manifest().sample_rate
    }

    #[getter]
    fn hop(&self) -> u16 {
        self.facts.manifest().hop
    }

    #[getter]
    fn frame_rate(&self) -> f64 {
        self.facts.bundle.stream_header().frame_rate()
    }

    /// Codebooks of the bundle; codes may have fewer.
    #[getter]
    fn codebooks(&self) -> usize {
        usize::from(self.facts.manifest().quantizer.stages) * self.groups
    }

    /// Codebooks a residual stage: codes are dropped or added in whole stages.
    #[getter]
    fn groups(&self) -> u8 {
        self.facts.manifest().quantizer.groups
    }

    #[getter]
    fn codebook_size(&self) -> u32 {
        self.facts.manifest().quantizer.size
    }

    #[getter]
    fn delay(&self) -> u16 {
        self.facts.manifest().delay
    }

    #[getter]
    fn latent_dim(&self) -> usize {
        self.facts.manifest().latent_dim
    }

    #[getter]
    fn model(&self) -> &str {
        &self.facts.manifest().name
    }

    #[getter]
    fn model_id(&self) -> String {
        self.facts.bundle.id().to_string()
    }

    #[getter]
    fn provider(&self) -> &str {
        self.facts.provider
    }
}

impl Decoder {
    /// Codes of whole stages that are entries of the codebooks.
    fn checked(&self, codes: &Bound<'_, PyAny>) -> PyResult<(Vec<u16>, usize)> {
        let (frames, codebooks) = arrays::codes(codes)?;
        let all = self.codebooks();
        if codebooks == 0 || codebooks > all || !codebooks.is_multiple_of(self.groups) {
            let text = format!("{codebooks} codebooks, allowed: up to {all} in steps of {}", self.groups);
            return Err(PyValueError::new_err(text));
        }
        let size = self.codebook_size();
        if let Some(at) = frames.iter().position(|&c| u32::from(c) >= size) {
            let (t, k, value) = (at / codebooks, at % codebooks, frames[at]);
            let text = format!("codes[{k}, {t}] is {value}, allowed: 0 to {}", size - 1);
            return Err(crate::errors::TokenError::new_err(text));
        }
        Ok((frames, codebooks))
    }
}

fn decode(
    stream: &mut siskin_core::tokens::TokenStream,
    frames: &[u16],
    codebooks: usize,
) -> siskin_core::Result<Vec<f32>> {
    let mut pcm = Vec::new();
    for frame in frames.chunks_exact(codebooks) {
        stream.push_codes(frame, &mut pcm)?;
    }
    Ok(pcm)
}
