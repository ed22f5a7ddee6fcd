//! Models of TensorFlow Lite: their tensors, their operators and how integers stand for numbers.
//!
//! Of the schema (version 3) only what the importers use is read. A model is a list of graphs; a graph has tensors, of which
//! some hold constants, and operators in the order in which they run.

mod flat;
mod op;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use siskin_error::Error;

use self::flat::Table;
pub(crate) use self::op::Op;
use self::op::read_op;
use super::Tensor;

/// Largest file that is read, in bytes; the largest of a codec that is known here has 1.8 MB.
const MAX_BYTES: u64 = 64 << 20;
/// Bounds of counts: a file may point to one table many times, so its size alone bounds nothing.
const MAX_GRAPHS: usize = 16;
const MAX_PARTS: usize = 1 << 12;
const MAX_OPERANDS: usize = 64;
const MAX_RANK: usize = 8;
const MAX_NAME: usize = 120;

/// What a tensor's elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    F32,
    I32,
    I8,
    /// A handle of a variable, which the graph keeps from one run to the next.
    Resource,
    /// One that no codec here has, by its number in the schema.
    Other(i8),
}

/// Integers that stand for `scale * (integer - zero_point)`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantized {
    /// One for the tensor, or one for each channel.
    pub(crate) scales: Vec<f32>,
    pub(crate) zero_point: i64,
}

/// A tensor of a graph.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) element: Element,
    pub(crate) quantized: Option<Quantized>,
    /// Where the values of a constant lie in the file; empty for a tensor that an operator computes.
    data: Range<usize>,
}

/// An operator: what it does, and the tensors that it takes and makes; none for an input that is left out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Operator {
    pub(crate) op: Op,
    pub(crate) inputs: Vec<Option<usize>>,
    pub(crate) outputs: Vec<usize>,
}

/// A graph of a model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Graph {
    pub(crate) tensors: Vec<Entry>,
    pub(crate) operators: Vec<Operator>,
    pub(crate) inputs: Vec<usize>,
    pub(crate) outputs: Vec<usize>,
}

/// A model that has been read.
pub(crate) struct Model {
    pub(crate) graphs: Vec<Graph>,
    /// Graphs by the names that programs call them by.
    pub(crate) signatures: BTreeMap<String, usize>,
    bytes: Vec<u8>,
}

impl Model {
    /// Reads a `.tflite` file.
    ///
    /// # Errors
    /// [`Error::BadBundle`] with the path and the table, field or tensor that is not as in such a file.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let fail = |reason: String| Error::bad_bundle(path, reason);
        let size = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(fail(format!("{size} bytes, allowed: up to {MAX_BYTES}")));
        }
        Self::parse(std::fs::read(path).map_err(|e| fail(e.to_string()))?).map_err(fail)
    }

    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let root = Table::root(&bytes, b"TFL3", "Model")?;
        let version = root.u32(0)?;
        if version != 3 {
            return Err(format!("version {version} of the schema, this reader knows 3"));
        }
        let mut codes = Vec::new();
        for code in root.tables(1, "OperatorCode", MAX_PARTS)? {
            // Numbers above 127 have come later and stand in a field of their own.
            codes.push(code.i32(3, 0)?.max(i32::from(code.i8(0)?)));
        }
        let mut buffers = Vec::new();
        for buffer in root.tables(4, "Buffer", MAX_PARTS)? {
            buffers.push(buffer.bytes(0)?);
        }
        let tables = root.tables(2, "SubGraph", MAX_GRAPHS)?;
        let count = tables.len();
        // No honest file says more scales than it has room for.
        let mut reader = GraphReader { codes, buffers, graphs: count, scales_left: bytes.len() / 4 };
        let mut graphs = Vec::new();
        for (i, table) in tables.iter().enumerate() {
            graphs.push(reader.read_graph(table).map_err(|e| format!("graph {i}: {e}"))?);
        }
        let mut signatures = BTreeMap::new();
        for table in root.tables(7, "SignatureDef", MAX_GRAPHS)? {
            let graph = table.u32(4)? as usize;
            let name = table.text(2, MAX_NAME)?;
            if graph >= count {
                return Err(format!("signature {name}: graph {graph} of {count}"));
            }
            signatures.insert(name, graph);
        }
        drop(tables);
        Ok(Self { graphs, signatures, bytes })
    }

    /// The integers or numbers that a constant's bytes are.
    ///
    /// # Errors
    /// Which tensor is no constant, holds more or fewer bytes than its shape says, values that are not finite, or integers
    /// that are no 32-bit floats.
    pub(crate) fn constant(&self, entry: &Entry) -> Result<Tensor, String> {
        let fail = |reason: String| format!("tensor {}: {reason}", entry.name);
        let data = self.bytes.get(entry.data.clone()).unwrap_or_default();
        let size = if entry.element == Element::I8 { 1 } else { 4 };
        let bytes = entry.shape.iter().try_fold(size, |n: usize, &d| n.checked_mul(d));
        if bytes != Some(data.len()) || data.is_empty() {
            return Err(fail(format!(
                "{} bytes for the shape {:?} of {:?}",
                data.len(),
                entry.shape,
                entry.element
            )));
        }
        let words = || data.as_chunks::<4>().0.iter();
        let values: Vec<f32> = match entry.element {
            Element::F32 => words().map(|&b| f32::from_le_bytes(b)).collect(),
            Element::I32 => words().map(|&b| i32::from_le_bytes(b) as f32).collect(),
            Element::I8 => data.iter().map(|&b| f32::from(b as i8)).collect(),
            other => return Err(fail(format!("constants of {other:?} are of no codec here"))),
        };
        // From here on floats do not count singly.
        let most = if entry.element == Element::I32 { 16_777_215.0 } else { f32::MAX };
        match values.iter().find(|v| v.abs().total_cmp(&most).is_gt()) {
            Some(value) => Err(fail(format!("the value {value}, allowed: up to {most}"))),
            None => Ok(Tensor { shape: entry.shape.clone(), values }),
        }
    }
}

/// What the graphs of a file have in common.
struct GraphReader {
    codes: Vec<i32>,
    buffers: Vec<Range<usize>>,
    graphs: usize,
    scales_left: usize,
}

impl GraphReader {
    fn read_graph(&mut self, table: &Table<'_>) -> Result<Graph, String> {
        let mut tensors = Vec::new();
        for table in table.tables(0, "Tensor", MAX_PARTS)? {
            tensors.push(self.read_tensor(&table)?);
        }
        let place = |i: i32, what: &str| {
            let found = usize::try_from(i).ok().filter(|&i| i < tensors.len());
            found.ok_or_else(|| format!("{what}: tensor {i} of {}", tensors.len()))
        };
        let places = |table: &Table<'_>, field: usize, what: &str| {
            let all = table.elements(field, MAX_OPERANDS)?;
            all.into_iter().map(|b| place(i32::from_le_bytes(b), what)).collect::<Result<Vec<_>, String>>()
        };
        let mut operators = Vec::new();
        for (i, table) in table.tables(3, "Operator", MAX_PARTS)?.iter().enumerate() {
            let what = format!("operator {i}");
            let code = table.u32(0)? as usize;
            let Some(&code) = self.codes.get(code) else {
                return Err(format!("{what}: code {code} of {}", self.codes.len()));
            };
            let op = read_op(table, code, self.graphs).map_err(|e| format!("{what}: {e}"))?;
            // -1 stands for an input that is left out.
            let operand = |b| match i32::from_le_bytes(b) {
                -1 => Ok(None),
                i => place(i, &what).map(Some),
            };
            let inputs = table.elements(1, MAX_OPERANDS)?.into_iter().map(operand);
            let inputs = inputs.collect::<Result<Vec<_>, String>>()?;
            operators.push(Operator { op, inputs, outputs: places(table, 2, &what)? });
        }
        let (inputs, outputs) = (places(table, 1, "inputs")?, places(table, 2, "outputs")?);
        Ok(Graph { tensors, operators, inputs, outputs })
    }

    fn read_tensor(&mut self, table: &Table<'_>) -> Result<Entry, String> {
        let name = table.text(3, MAX_NAME)?;
        let fail = |reason: String| format!("tensor {name}: {reason}");
        let mut shape = Vec::new();
        for bytes in table.elements(0, MAX_RANK)? {
            let size = i32::from_le_bytes(bytes);
            shape.push(usize::try_from(size).map_err(|_| fail(format!("a side of {size}")))?);
        }
        let element = match table.i8(1)? {
            0 => Element::F32,
            2 => Element::I32,
            9 => Element::I8,
            13 => Element::Resource,
            other => Element::Other(other),
        };
        let buffer = table.u32(2)? as usize;
        let Some(data) = self.buffers.get(buffer).cloned() else {
            return Err(fail(format!("buffer {buffer} of {}", self.buffers.len())));
        };
        if table.table(6, "SparsityParameters")?.is_some() {
            return Err(fail("sparse, which no codec here is".into()));
        }
        let quantized = match table.table(4, "QuantizationParameters")? {
            Some(table) => self.read_quantized(&table, &shape).map_err(fail)?,
            None => None,
        };
        Ok(Entry { name, shape, element, quantized, data })
    }

    fn read_quantized(&mut self, table: &Table<'_>, shape: &[usize]) -> Result<Option<Quantized>, String> {
        let scales: Vec<f32> = table.elements(2, MAX_PARTS)?.into_iter().map(f32::from_le_bytes).collect();
        let zeros: Vec<i64> = table.elements(3, MAX_PARTS)?.into_iter().map(i64::from_le_bytes).collect();
        if scales.is_empty() {
            return Ok(None);
        }
        let more = || "more scales than the file has room for".to_owned();
        self.scales_left = self.scales_left.checked_sub(scales.len()).ok_or_else(more)?;
        if let Some(scale) = scales.iter().find(|s| !(1e-20..1e20).contains(*s)) {
            return Err(format!("scale {scale}"));
        }
        let axis = table.i32(6, 0)?;
        let side = usize::try_from(axis).ok().and_then(|a| shape.get(a));
        if scales.len() > 1 && side != Some(&scales.len()) {
            return Err(format!("{} scales along axis {axis} of the shape {shape:?}", scales.len()));
        }
        let zero_point = zeros.first().copied().unwrap_or(0);
        if zeros.iter().any(|&z| z != zero_point) || !(-128..128).contains(&zero_point) {
            return Err(format!("zero points from {zero_point}, allowed: one of -128 to 127"));
        }
        Ok(Some(Quantized { scales, zero_point }))
    }
}
