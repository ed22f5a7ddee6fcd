//! Manifests and shards of corpora.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use siskin_core::bundle::Bundle;
use siskin_core::corpus::{self, Encoded, Export, ManifestFormat, ShardFormat, ShardName, Spec, Utterance};
use siskin_core::tokens::{CodeType, TokenFile, TokenMeta};

use crate::arrays;
use crate::errors::to_py_err;
use crate::model::lock;

/// The utterances of a manifest, as dictionaries: id, sound, start, duration, channel, text, speaker, recording.
#[pyfunction]
#[pyo3(signature = (path, format = None))]
pub(crate) fn read_manifest<'py>(
    py: Python<'py>,
    path: PathBuf,
    format: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    let format = match format {
        Some(name) => ManifestFormat::ALL.into_iter().find(|f| f.name() == name).ok_or_else(|| {
            PyValueError::new_err(format!("format is {name:?}, allowed: lhotse, kaldi, nemo"))
        })?,
        None => ManifestFormat::detect(&path).map_err(to_py_err)?.ok_or_else(|| {
            PyValueError::new_err(format!("{}: no manifest of lhotse, kaldi or nemo", path.display()))
        })?,
    };
    let manifest = py.detach(|| corpus::read_manifest(&path, format)).map_err(to_py_err)?;
    to_python(py, &manifest.utterances)
}

/// Writes one shard of a corpus.
///
/// ShardWriter(folder, shard, format="shar", dtype="uint16")
#[pyclass(frozen, module = "siskin")]
pub(crate) struct ShardWriter {
    // None once it is finished.
    inner: Mutex<Option<corpus::ShardWriter>>,
}

#[pymethods]
impl ShardWriter {
    #[new]
    #[pyo3(signature = (folder, shard, format = "shar", dtype = "uint16"))]
    fn new(folder: PathBuf, shard: &Bound<'_, PyAny>, format: &str, dtype: &str) -> PyResult<Self> {
        let name = match shard.extract::<usize>() {
            Ok(number) => ShardName::numbered(number),
            Err(_) => ShardName::new(shard.extract()?).map_err(to_py_err)?,
        };
        let (format, code_type) = (parse_format(format)?, parse_dtype(dtype)?);
        let writer = corpus::ShardWriter::create(&folder, name, format, code_type).map_err(to_py_err)?;
        Ok(Self { inner: Mutex::new(Some(writer)) })
    }

    /// Adds the codes [K, T] of an utterance, a dictionary as `read_manifest` returns it. `meta` is as in `save`;
    /// `file_rate` is the sample rate of the file in Hz.
    #[pyo3(signature = (utterance, codes, meta, file_rate = None))]
    fn push(
        &self,
        py: Python<'_>,
        utterance: &Bound<'_, PyAny>,
        codes: &Bound<'_, PyAny>,
        meta: &Bound<'_, PyAny>,
        file_rate: Option<u32>,
    ) -> PyResult<()> {
        let utterance: Utterance = from_python(utterance, "utterance")?;
        let meta: TokenMeta = from_python(meta, "meta")?;
        let (frames, codebooks) = arrays::read_codes(codes)?;
        let tokens = TokenFile::from_frames(codebooks, &frames, meta).map_err(to_py_err)?;
        if tokens.meta.codebook_size > 0 {
            tokens.check_codes(tokens.meta.codebook_size).map_err(to_py_err)?;
        }
        py.detach(|| {
            let mut inner = lock(&self.inner);
            Ok(inner.as_mut().ok_or(())?.push(&utterance, Encoded { tokens, file_rate }))
        })
        .map_err(|()| finished())?
        .map_err(to_py_err)
    }

    /// Notes that an utterance is not in the shard, and why.
    fn fail(&self, utterance: &Bound<'_, PyAny>, error: String) -> PyResult<()> {
        let utterance: Utterance = from_python(utterance, "utterance")?;
        lock(&self.inner).as_mut().ok_or_else(finished)?.push_failure(&utterance, error);
        Ok(())
    }

    /// Gives the shard's files their names; returns what is in them.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let writer = lock(&self.inner).take().ok_or_else(finished)?;
        let summary = py.detach(|| writer.finish()).map_err(to_py_err)?;
        to_python(py, &summary)
    }
}

fn finished() -> PyErr {
    PyRuntimeError::new_err("the shard is finished")
}

/// A corpus that is made from utterances: which shards are due, which utterances are in each.
///
/// Corpus(folder, utterances, format="shar", shard_size=1000, dtype="uint16", model="speech-24k", stages=None,
///        search_width=8, keep_silence=False, anew=False, retry_failed=False)
#[pyclass(frozen, module = "siskin")]
pub(crate) struct Corpus {
    // None once it is collected.
    inner: Mutex<Option<Export>>,
}

#[pymethods]
impl Corpus {
    #[new]
    #[pyo3(signature = (folder, utterances, format = "shar", shard_size = 1000, dtype = "uint16",
                        model = "speech-24k", stages = None, search_width = 8, keep_silence = false, anew = false,
                        retry_failed = false))]
    #[allow(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn new(
        py: Python<'_>,
        folder: PathBuf,
        utterances: &Bound<'_, PyAny>,
        format: &str,
        shard_size: usize,
        dtype: &str,
        model: &str,
        stages: Option<u8>,
        search_width: usize,
        keep_silence: bool,
        anew: bool,
        retry_failed: bool,
    ) -> PyResult<Self> {
        let utterances: Vec<Utterance> = from_python(utterances, "utterances")?;
        let (format, code_type) = (parse_format(format)?, parse_dtype(dtype)?);
        let made = py.detach(|| -> siskin_core::Result<Export> {
            let bundle = Bundle::find(model)?;
            let spec = Spec {
                model: format!("{} {}", bundle.manifest().name, bundle.id()),
                stages: stages.unwrap_or(bundle.manifest().default_stages),
                search_width,
                keep_silence,
                ..Spec::new(format, shard_size, code_type, &utterances)?
            };
            Export::open(&folder, spec, utterances, anew, retry_failed)
        });
        Ok(Self { inner: Mutex::new(Some(made.map_err(to_py_err)?)) })
    }

    /// The numbers of the shards that are not finished.
    #[getter]
    fn due(&self) -> PyResult<Vec<usize>> {
        Ok(lock(&self.inner).as_ref().ok_or_else(collected)?.due().to_vec())
    }

    /// The utterances of a shard, as dictionaries.
    fn shard<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Bound<'py, PyAny>> {
        to_python(py, &lock(&self.inner).as_ref().ok_or_else(collected)?.shard(number))
    }

    /// Writes the index and the list of failures once the shards are made; returns totals. `lost` has the reasons for shards
    /// that are missing.
    #[pyo3(signature = (lost = None))]
    fn collect<'py>(
        &self,
        py: Python<'py>,
        lost: Option<BTreeMap<usize, String>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let export = lock(&self.inner).take().ok_or_else(collected)?;
        let totals = py.detach(|| export.collect(&lost.unwrap_or_default())).map_err(to_py_err)?;
        to_python(py, &totals)
    }
}

fn collected() -> PyErr {
    PyRuntimeError::new_err("the corpus is collected")
}

/// What is in a shard, or None where it is not finished.
#[pyfunction]
pub(crate) fn shard_summary<'py>(
    py: Python<'py>,
    folder: PathBuf,
    shard: usize,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let summary = corpus::ShardSummary::read(&folder, &ShardName::numbered(shard)).map_err(to_py_err)?;
    summary.map(|s| to_python(py, &s)).transpose()
}

fn parse_format(name: &str) -> PyResult<ShardFormat> {
    ShardFormat::from_name(name).ok_or_else(|| {
        PyValueError::new_err(format!("format is {name:?}, allowed: shar, webdataset, parquet"))
    })
}

pub(crate) fn parse_dtype(name: &str) -> PyResult<CodeType> {
    CodeType::from_name(name)
        .ok_or_else(|| PyValueError::new_err(format!("dtype is {name:?}, allowed: uint16, int32, int64")))
}

/// Through JSON, which keeps the names of the files and needs no class for each structure.
fn to_python<'py>(py: Python<'py>, value: &impl serde::Serialize) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_string(value).map_err(|e| PyValueError::new_err(e.to_string()))?;
    py.import("json")?.call_method1("loads", (text,))
}

fn from_python<T: serde::de::DeserializeOwned>(value: &Bound<'_, PyAny>, what: &str) -> PyResult<T> {
    let text: String = value.py().import("json")?.call_method1("dumps", (value,))?.extract()?;
    serde_json::from_str(&text).map_err(|e| PyValueError::new_err(format!("{what}: {e}")))
}
