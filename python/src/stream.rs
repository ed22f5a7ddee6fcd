//! `TokenStream`.

use std::sync::Mutex;

use numpy::PyArray1;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use siskin_core::bundle::Bundle;
use siskin_core::tokens::{OnBadToken, Slots, StreamSnapshot};

use crate::arrays;
use crate::codec::{lock, runtime};
use crate::errors::raise;

/// A stream at a moment.
#[pyclass(frozen, module = "siskin")]
pub(crate) struct Snapshot(Mutex<StreamSnapshot>);

impl Snapshot {
    pub(crate) fn of(stream: &siskin_core::tokens::TokenStream) -> Self {
        let mut snapshot = StreamSnapshot::default();
        stream.snapshot(&mut snapshot);
        Self(Mutex::new(snapshot))
    }

    pub(crate) fn put(&self, stream: &mut siskin_core::tokens::TokenStream) -> siskin_core::Result<()> {
        stream.restore(&lock(&self.0))
    }
}

/// Tokens of a model in, samples out as soon as a frame is whole.
///
/// TokenStream(layout="parallel", codebooks=None, model="speech-24k", on_bad="refuse", slots=1, provider="auto")
#[pyclass(frozen, module = "siskin")]
pub(crate) struct TokenStream {
    bundle: Bundle,
    codebooks: usize,
    specials: std::collections::BTreeMap<String, i64>,
    count: usize,
    inner: Mutex<Slots>,
}

type Core = siskin_core::tokens::TokenStream;

impl TokenStream {
    /// Does something with a slot while Python goes on.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        slot: usize,
        work: impl FnOnce(&mut Core) -> siskin_core::Result<T> + Send,
    ) -> PyResult<T> {
        py.detach(|| lock(&self.inner).slot(slot).and_then(work)).map_err(raise)
    }
}

#[pymethods]
impl TokenStream {
    #[new]
    #[pyo3(signature = (layout = "parallel", codebooks = None, model = "speech-24k", on_bad = "refuse", slots = 1,
                        provider = "auto"))]
    fn new(
        py: Python<'_>,
        layout: &str,
        codebooks: Option<usize>,
        model: &str,
        on_bad: &str,
        slots: usize,
        provider: &str,
    ) -> PyResult<Self> {
        let on_bad = match on_bad {
            "refuse" => OnBadToken::Refuse,
            "conceal" => OnBadToken::Conceal,
            other => {
                return Err(PyValueError::new_err(format!("on_bad is {other:?}, allowed: refuse, conceal")));
            }
        };
        let bundle = py.detach(|| Bundle::find(model)).map_err(raise)?;
        let q = &bundle.manifest().quantizer;
        let groups = usize::from(q.groups);
        let stages =
            codebooks.map_or(Ok(bundle.manifest().default_stages), |k| match u8::try_from(k / groups) {
                Ok(stages) if usize::from(stages) * groups == k => Ok(stages),
                _ => {
                    Err(PyValueError::new_err(format!("codebooks is {k}, allowed: whole stages of {groups}")))
                }
            })?;
        let made = py.detach(|| {
            let stream = Core::new(&bundle, &runtime(provider)?, layout, stages, on_bad)?;
            let format = stream.format().clone();
            Slots::new(stream, slots).map(|slots| (slots, format))
        });
        let (inner, format) = made.map_err(raise)?;
        let specials = format.specials().by_name().clone();
        Ok(Self { bundle, codebooks: format.codebooks(), specials, count: slots, inner: Mutex::new(inner) })
    }

    /// Takes tokens, any number of them in the order of the layout (rows of a matrix one after the other), and returns
    /// the samples of the frames that become whole. Where the mask is false there is no token.
    #[pyo3(signature = (tokens, mask = None, slot = 0))]
    fn push<'py>(
        &self,
        py: Python<'py>,
        tokens: &Bound<'py, PyAny>,
        mask: Option<&Bound<'py, PyAny>>,
        slot: usize,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let (tokens, _) = arrays::integers(tokens, "tokens")?;
        let mask = mask.map(arrays::mask).transpose()?;
        let pcm = self.with(py, slot, |stream| {
            let mut pcm = Vec::new();
            match &mask {
                Some(mask) => stream.push_masked(&tokens, mask, &mut pcm)?,
                None => stream.push(&tokens, &mut pcm)?,
            };
            Ok(pcm)
        })?;
        Ok(PyArray1::from_vec(py, pcm))
    }

    /// Ends the stream and returns what can still be had; the slot then begins anew.
    #[pyo3(signature = (slot = 0))]
    fn finish<'py>(&self, py: Python<'py>, slot: usize) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let pcm = self.with(py, slot, |stream| {
            let mut pcm = Vec::new();
            stream.finish(&mut pcm).map(|_| pcm)
        })?;
        Ok(PyArray1::from_vec(py, pcm))
    }

    /// Forgets a slot's stream.
    #[pyo3(signature = (slot = 0))]
    fn reset(&self, py: Python<'_>, slot: usize) -> PyResult<()> {
        self.with(py, slot, |stream| {
            stream.reset();
            Ok(())
        })
    }

    /// Cuts the stream to so many samples.
    #[pyo3(signature = (samples, slot = 0))]
    fn set_length(&self, py: Python<'_>, samples: u64, slot: usize) -> PyResult<()> {
        self.with(py, slot, |stream| {
            stream.set_length(samples);
            Ok(())
        })
    }

    /// States the frames of a coarse-first clip before its first token.
    #[pyo3(signature = (frames, slot = 0))]
    fn set_frames(&self, py: Python<'_>, frames: u64, slot: usize) -> PyResult<()> {
        self.with(py, slot, |stream| stream.set_frames(frames))
    }

    /// A slot's state, for restore.
    #[pyo3(signature = (slot = 0))]
    fn snapshot(&self, py: Python<'_>, slot: usize) -> PyResult<Snapshot> {
        self.with(py, slot, |stream| Ok(Snapshot::of(stream)))
    }

    /// Goes back to a state, as if what came since had not.
    #[pyo3(signature = (snapshot, slot = 0))]
    fn restore(&self, py: Python<'_>, snapshot: &Snapshot, slot: usize) -> PyResult<()> {
        self.with(py, slot, |stream| snapshot.put(stream))
    }

    /// What was wrong with tokens since the last call.
    #[pyo3(signature = (slot = 0))]
    fn faults(&self, py: Python<'_>, slot: usize) -> PyResult<Vec<String>> {
        self.with(py, slot, |stream| Ok(stream.faults().iter().map(ToString::to_string).collect()))
    }

    /// Text tokens since the last call, (frame, token).
    #[pyo3(signature = (slot = 0))]
    fn texts(&self, py: Python<'_>, slot: usize) -> PyResult<Vec<(u64, i64)>> {
        self.with(py, slot, |stream| Ok(stream.texts().iter().map(|t| (t.frame, t.token)).collect()))
    }

    /// Tokens, frames, lost frames, faults and samples of the stream so far, and whether it has ended.
    #[pyo3(signature = (slot = 0))]
    fn progress<'py>(&self, py: Python<'py>, slot: usize) -> PyResult<Bound<'py, PyDict>> {
        let (p, tokens, ended) =
            self.with(py, slot, |stream| Ok((stream.progress(), stream.position(), stream.ended())))?;
        let out = PyDict::new(py);
        for (name, value) in [
            ("tokens", tokens),
            ("frames", p.frames),
            ("lost", p.lost),
            ("ignored", p.ignored),
            ("samples", p.samples),
        ] {
            out.set_item(name, value)?;
        }
        out.set_item("ended", ended)?;
        Ok(out)
    }

    /// The special ids of the layout, by name.
    #[getter]
    fn specials(&self) -> std::collections::BTreeMap<String, i64> {
        self.specials.clone()
    }

    #[getter]
    fn slots(&self) -> usize {
        self.count
    }

    #[getter]
    fn codebooks(&self) -> usize {
        self.codebooks
    }

    #[getter]
    fn sample_rate(&self) -> u32 {
        self.bundle.manifest().sample_rate
    }
}
