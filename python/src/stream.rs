//! `TokenStream`.

use std::sync::Mutex;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use siskin_core::bundle::Bundle;
use siskin_core::tokens::{OnBadToken, Slots, StreamSnapshot};

use crate::arrays;
use crate::errors::to_py_err;
use crate::model::{load_runtime, lock, warn_deprecated};

/// The state of a stream.
#[pyclass(frozen, module = "siskin")]
// A mutex, since Python may hand one snapshot to several threads.
pub(crate) struct Snapshot(Mutex<StreamSnapshot>);

impl Snapshot {
    pub(crate) fn from_stream(stream: &siskin_core::tokens::TokenStream) -> Self {
        let mut snapshot = StreamSnapshot::default();
        stream.save_state(&mut snapshot);
        Self(Mutex::new(snapshot))
    }

    pub(crate) fn restore_into(
        &self,
        stream: &mut siskin_core::tokens::TokenStream,
    ) -> siskin_core::Result<()> {
        stream.restore_state(&lock(&self.0))
    }
}

/// Tokens of a model in, samples out as soon as a frame is complete.
///
/// TokenStream(layout="parallel", codebooks=None, model="speech-24k", on_bad="refuse", slots=1, provider="auto", *,
///             stages=None)
///
/// codebooks (K, stages x groups) is deprecated in favor of stages.
#[pyclass(frozen, module = "siskin")]
pub(crate) struct TokenStream {
    bundle: Bundle,
    stages: u8,
    codes_per_frame: usize,
    specials: std::collections::BTreeMap<String, i64>,
    // Beside the lock, as `stages` and `specials` are: getters do not wait for a stream that is decoding.
    count: usize,
    inner: Mutex<Slots>,
    /// Samples by slot that were ready when a token was refused: the next call returns them.
    kept: Mutex<std::collections::BTreeMap<usize, Vec<f32>>>,
}

type Core = siskin_core::tokens::TokenStream;

impl TokenStream {
    /// Runs `work` on a slot's stream without the GIL.
    fn with_slot<T: Send>(
        &self,
        py: Python<'_>,
        slot: usize,
        work: impl FnOnce(&mut Core) -> siskin_core::Result<T> + Send,
    ) -> PyResult<T> {
        // The lock is taken after the GIL is released: a thread that waits for it must not hold the GIL.
        py.detach(|| lock(&self.inner).select_slot(slot).and_then(work)).map_err(to_py_err)
    }

    fn take_kept(&self, slot: usize) -> Vec<f32> {
        lock(&self.kept).remove(&slot).unwrap_or_default()
    }

    /// The samples of a call, or its error, whose samples wait for the next one: an exception has no room for them.
    fn keep_on_error(
        &self,
        slot: usize,
        pcm: Vec<f32>,
        done: siskin_core::Result<()>,
    ) -> siskin_core::Result<Vec<f32>> {
        match done {
            Ok(()) => Ok(pcm),
            Err(e) => {
                lock(&self.kept).insert(slot, pcm);
                Err(e)
            }
        }
    }
}

#[pymethods]
impl TokenStream {
    #[new]
    #[pyo3(signature = (layout = "parallel", codebooks = None, model = "speech-24k", on_bad = "refuse", slots = 1,
                        provider = "auto", *, stages = None))]
    #[expect(clippy::too_many_arguments, reason = "the parameters of the Python class")]
    fn new(
        py: Python<'_>,
        layout: &str,
        codebooks: Option<usize>,
        model: &str,
        on_bad: &str,
        slots: usize,
        provider: &str,
        stages: Option<u8>,
    ) -> PyResult<Self> {
        let on_bad = match on_bad {
            "refuse" => OnBadToken::Refuse,
            "conceal" => OnBadToken::Conceal,
            other => {
                return Err(PyValueError::new_err(format!("on_bad is {other:?}, allowed: refuse, conceal")));
            }
        };
        let bundle = py.detach(|| Bundle::find(model)).map_err(to_py_err)?;
        let q = &bundle.manifest().quantizer;
        let groups = usize::from(q.groups);
        let stages = match (stages, codebooks) {
            (Some(_), Some(_)) => {
                return Err(PyValueError::new_err("stages and codebooks exclude each other"));
            }
            (Some(stages), None) => stages,
            (None, None) => bundle.manifest().default_stages,
            (None, Some(k)) => {
                warn_deprecated(
                    py,
                    c"codebooks is deprecated: use stages (codebooks counts stages x groups)",
                )?;
                let stages = u8::try_from(k / groups).ok().filter(|&s| usize::from(s) * groups == k);
                let allowed = || format!("codebooks is {k}, allowed: whole stages of {groups}");
                stages.ok_or_else(|| PyValueError::new_err(allowed()))?
            }
        };
        let made = py.detach(|| {
            let stream = Core::new(&bundle, &load_runtime(provider)?, layout, stages, on_bad)?;
            let format = stream.format().clone();
            // Always slots, also for a single stream, so that the methods have one way.
            Slots::new(stream, slots).map(|slots| (slots, format))
        });
        let (inner, format) = made.map_err(to_py_err)?;
        // Copied out: the getter must not wait for a stream that is decoding.
        let specials = format.special_ids().by_name().clone();
        let codes_per_frame = format.codes_per_frame();
        Ok(Self {
            bundle,
            stages,
            codes_per_frame,
            specials,
            count: slots,
            inner: Mutex::new(inner),
            kept: Mutex::default(),
        })
    }

    /// Decodes any number of tokens in the order of the layout (rows of a matrix one after the other) and returns the
    /// samples of the frames that become complete. Where the mask is false there is no token.
    #[pyo3(signature = (tokens, mask = None, slot = 0))]
    fn push<'py>(
        &self,
        py: Python<'py>,
        tokens: &Bound<'py, PyAny>,
        mask: Option<&Bound<'py, PyAny>>,
        slot: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (tokens, _) = arrays::read_integers(tokens, "tokens")?;
        let mask = mask.map(arrays::read_mask).transpose()?;
        let pcm = self.with_slot(py, slot, |stream| {
            let mut pcm = self.take_kept(slot);
            let pushed = match &mask {
                Some(mask) => stream.push_masked(&tokens, mask, &mut pcm),
                None => stream.push_tokens(&tokens, &mut pcm),
            };
            self.keep_on_error(slot, pcm, pushed.map(|_| ()))
        })?;
        arrays::samples_to_array(py, pcm, self.channels())
    }

    /// Ends the stream and returns the remaining samples; the slot then starts a new stream.
    #[pyo3(signature = (slot = 0))]
    fn finish<'py>(&self, py: Python<'py>, slot: usize) -> PyResult<Bound<'py, PyAny>> {
        let pcm = self.with_slot(py, slot, |stream| {
            let mut pcm = self.take_kept(slot);
            let ended = stream.finish_stream(&mut pcm);
            self.keep_on_error(slot, pcm, ended.map(|_| ()))
        })?;
        arrays::samples_to_array(py, pcm, self.channels())
    }

    /// Back to the start of a stream in a slot.
    #[pyo3(signature = (slot = 0))]
    fn reset(&self, py: Python<'_>, slot: usize) -> PyResult<()> {
        self.with_slot(py, slot, |stream| {
            self.take_kept(slot);
            stream.reset();
            Ok(())
        })
    }

    /// Trims the stream to `samples` samples.
    #[pyo3(signature = (samples, slot = 0))]
    fn set_length(&self, py: Python<'_>, samples: u64, slot: usize) -> PyResult<()> {
        self.with_slot(py, slot, |stream| {
            stream.set_length(samples);
            Ok(())
        })
    }

    /// Gives the scales of the segments, for a codec that codes those; before the first token.
    #[pyo3(signature = (scales, slot = 0))]
    fn set_scales(&self, py: Python<'_>, scales: &Bound<'_, PyAny>, slot: usize) -> PyResult<()> {
        let scales = arrays::read_scales(scales)?;
        self.with_slot(py, slot, |stream| stream.set_scales(scales))
    }

    /// Sets the number of frames of a coarse-first clip before its first token.
    #[pyo3(signature = (frames, slot = 0))]
    fn set_frames(&self, py: Python<'_>, frames: u64, slot: usize) -> PyResult<()> {
        self.with_slot(py, slot, |stream| stream.set_frames(frames))
    }

    /// The state of a slot's stream, for restore.
    #[pyo3(signature = (slot = 0))]
    fn snapshot(&self, py: Python<'_>, slot: usize) -> PyResult<Snapshot> {
        self.with_slot(py, slot, |stream| Ok(Snapshot::from_stream(stream)))
    }

    /// Restores a state in a slot.
    #[pyo3(signature = (snapshot, slot = 0))]
    fn restore(&self, py: Python<'_>, snapshot: &Snapshot, slot: usize) -> PyResult<()> {
        self.with_slot(py, slot, |stream| {
            self.take_kept(slot);
            snapshot.restore_into(stream)
        })
    }

    /// Errors of tokens since the last call, the latest 64.
    #[pyo3(signature = (slot = 0))]
    fn faults(&self, py: Python<'_>, slot: usize) -> PyResult<Vec<String>> {
        self.with_slot(py, slot, |stream| Ok(stream.take_faults().iter().map(ToString::to_string).collect()))
    }

    /// Text tokens since the last call, (frame, token).
    #[pyo3(signature = (slot = 0))]
    fn texts(&self, py: Python<'_>, slot: usize) -> PyResult<Vec<(u64, i64)>> {
        self.with_slot(py, slot, |stream| {
            Ok(stream.take_texts().iter().map(|t| (t.frame, t.token)).collect())
        })
    }

    /// Counts of the stream so far: tokens, frames, lost frames, ignored errors and samples, and whether it has ended.
    #[pyo3(signature = (slot = 0))]
    fn progress<'py>(&self, py: Python<'py>, slot: usize) -> PyResult<Bound<'py, PyDict>> {
        let (p, tokens, ended) = self.with_slot(py, slot, |stream| {
            Ok((stream.progress(), stream.token_count(), stream.has_ended()))
        })?;
        let out = PyDict::new(py);
        // A dictionary and no tuple, so that later counts do not break callers.
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
            c"TokenStream.codebooks is deprecated: use codes_per_frame (stages x groups) or stages",
        )?;
        Ok(self.codes_per_frame)
    }

    /// Channels of the samples, which have the shape [samples] with one and [channels, samples] with more.
    #[getter]
    fn channels(&self) -> u8 {
        self.bundle.manifest().channels
    }

    #[getter]
    fn sample_rate(&self) -> u32 {
        self.bundle.manifest().sample_rate
    }
}
