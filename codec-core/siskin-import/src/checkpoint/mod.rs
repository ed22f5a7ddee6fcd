//! Checkpoints, read without executing anything that they say.

mod pickle;
mod tensors;
#[cfg(test)]
mod tests;
pub(crate) mod tflite;
mod torch;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use siskin_error::{Error, Result};

/// A tensor of 32-bit floats in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl Tensor {
    /// A matrix with rows and columns exchanged.
    pub(crate) fn transposed(&self) -> Self {
        let (rows, columns) = (self.shape[0], self.shape[1]);
        let at = |i: usize| self.values[i % rows * columns + i / rows];
        Self { shape: vec![columns, rows], values: (0..rows * columns).map(at).collect() }
    }

    /// The rows `from..to` of the first axis.
    pub(crate) fn rows(&self, from: usize, to: usize) -> Self {
        let row: usize = self.shape[1..].iter().product();
        let shape = std::iter::once(to - from).chain(self.shape[1..].iter().copied()).collect();
        Self { shape, values: self.values[from * row..to * row].to_vec() }
    }
}

/// The tensors of a published checkpoint by their names, and which of them have been used.
pub(crate) struct Checkpoint {
    entries: BTreeMap<String, Tensor>,
    used: BTreeSet<String>,
    /// Whole numbers beside the tensors.
    numbers: BTreeMap<String, i64>,
}

/// Largest checkpoint that is read, in bytes: twice that of the largest codec that is known here (Mimi, 385 MB).
const MAX_BYTES: u64 = 1 << 30;

/// Largest configuration beside a checkpoint, in bytes; those of the published codecs have a few kilobytes.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

impl Checkpoint {
    #[cfg(test)]
    pub(crate) fn from_tensors(entries: BTreeMap<String, Tensor>) -> Self {
        Self { entries, used: BTreeSet::new(), numbers: BTreeMap::new() }
    }

    /// Reads a file of safetensors or of PyTorch.
    ///
    /// # Errors
    /// [`Error::BadBundle`] with the path and what is wrong: another format, an object that is no tensor's part, a tensor that
    /// the file does not hold.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let fail = |reason: String| Error::bad_bundle(path, reason);
        let size = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(fail(format!("{size} bytes, allowed: up to {MAX_BYTES}")));
        }
        let bytes = std::fs::read(path).map_err(|e| fail(e.to_string()))?;
        let mut checkpoint = Self::parse(&bytes).map_err(fail)?;
        checkpoint.read_config(&path.with_file_name("config.json"))?;
        Ok(checkpoint)
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let (entries, numbers) = if bytes.starts_with(b"PK\x03\x04") {
            torch::read_archive(bytes)?
        } else {
            (tensors::read_safetensors(bytes)?, BTreeMap::new())
        };
        Ok(Self { entries, used: BTreeSet::new(), numbers })
    }

    /// The shapes of all tensors by their names.
    pub(crate) fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.entries.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect()
    }

    /// Adds the whole numbers of a configuration beside the weights, if there is one, with `config.` before their names.
    fn read_config(&mut self, path: &Path) -> Result<()> {
        let fail = |reason: String| Error::bad_bundle(path, reason);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(fail(e.to_string())),
        };
        let mut text = Vec::new();
        file.take(MAX_CONFIG_BYTES).read_to_end(&mut text).map_err(|e| fail(e.to_string()))?;
        let values: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(&text).map_err(|e| fail(e.to_string()))?;
        let numbers = values.iter().filter_map(|(k, v)| Some((format!("config.{k}"), v.as_i64()?)));
        self.numbers.extend(numbers);
        Ok(())
    }

    /// Gives every tensor the name that `rename` says.
    pub(crate) fn rename(&mut self, rename: impl Fn(&str) -> String) {
        self.entries = std::mem::take(&mut self.entries).into_iter().map(|(n, e)| (rename(&n), e)).collect();
    }

    /// A whole number that the file holds beside its tensors.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.numbers.get(name).copied()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The shape of weights that [`weight`](Self::weight) takes.
    pub(crate) fn weight_shape(&self, name: &str) -> Option<&[usize]> {
        let names = ["weight_v", "parametrizations.weight.original1", "weight"];
        names.iter().find_map(|part| self.entries.get(&format!("{name}.{part}"))).map(|t| t.shape.as_slice())
    }

    /// Takes a tensor of this shape.
    ///
    /// # Errors
    /// Which tensor is missing or has another shape, in words.
    pub(crate) fn take(&mut self, name: &str, shape: &[usize]) -> std::result::Result<Tensor, String> {
        let Some(tensor) = self.entries.get(name) else {
            return Err(format!("no tensor {name} {shape:?}"));
        };
        if tensor.shape != shape {
            return Err(format!("tensor {name} has the shape {:?}, expected: {shape:?}", tensor.shape));
        }
        if tensor.values.iter().any(|x| !x.is_finite()) {
            return Err(format!("tensor {name} holds values that are not finite"));
        }
        self.used.insert(name.to_owned());
        Ok(tensor.clone())
    }

    /// Passes over tensors that only training needs.
    pub(crate) fn ignore(&mut self, is_idle: impl Fn(&str) -> bool) {
        self.used.extend(self.entries.keys().filter(|n| is_idle(n)).cloned());
    }

    /// Checks that nothing was left over.
    ///
    /// # Errors
    /// The first tensor that was not used: the file is of another network.
    pub(crate) fn finish(&self) -> std::result::Result<(), String> {
        match self.entries.keys().find(|n| !self.used.contains(*n)) {
            Some(name) => Err(format!("tensor {name} is not one of this codec")),
            None => Ok(()),
        }
    }

    /// A weight that is stored as lengths and directions (weight normalization), under the names of either of PyTorch's
    /// layouts, or as it is.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(crate) fn weight(&mut self, name: &str, shape: &[usize]) -> std::result::Result<Tensor, String> {
        let lengths = [1].repeat(shape.len() - 1);
        let lengths: Vec<usize> = std::iter::once(shape[0]).chain(lengths).collect();
        let pairs = [
            (format!("{name}.weight_g"), format!("{name}.weight_v")),
            (
                format!("{name}.parametrizations.weight.original0"),
                format!("{name}.parametrizations.weight.original1"),
            ),
        ];
        let Some((g, v)) = pairs.into_iter().find(|(g, _)| self.has(g)) else {
            return self.take(&format!("{name}.weight"), shape);
        };
        let (g, mut v) = (self.take(&g, &lengths)?, self.take(&v, shape)?);
        let row = v.values.len() / shape[0].max(1);
        for (values, g) in v.values.chunks_exact_mut(row.max(1)).zip(&g.values) {
            // In 64 bits: PyTorch's sum has another order, and this one is as near to the true length as can be.
            let length = values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
            let factor = f64::from(*g) / length.max(f64::MIN_POSITIVE);
            values.iter_mut().for_each(|x| *x = (f64::from(*x) * factor) as f32);
        }
        Ok(v)
    }
}
