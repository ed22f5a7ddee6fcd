//! Safetensors.

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

use super::{TokenFile, TokenMeta, bad, integer};
use crate::Result;

/// Where the metadata is: one key, so that the same codes give the same bytes.
const KEY: &str = "siskin";

pub(super) fn write(file: &TokenFile) -> Result<Vec<u8>> {
    let bytes: Vec<u8> = file.codes.iter().flat_map(|c| c.to_le_bytes()).collect();
    let shape = vec![file.codebooks, file.frames];
    let view = TensorView::new(Dtype::U16, shape, &bytes).map_err(|e| bad("codes", e))?;
    let meta = serde_json::to_string(&file.meta).map_err(|e| bad("metadata", e))?;
    let meta = HashMap::from([(KEY.to_owned(), meta)]);
    serialize([("codes", view)], Some(meta)).map_err(|e| bad("codes", e))
}

pub(super) fn read(data: &[u8]) -> Result<TokenFile> {
    let (_, head) = SafeTensors::read_metadata(data).map_err(|e| bad("header", e))?;
    let tensors = SafeTensors::deserialize(data).map_err(|e| bad("header", e))?;
    let view = tensors.tensor("codes").map_err(|e| bad("codes", e))?;
    let (bytes, signed) = match view.dtype() {
        Dtype::U8 => (1, false),
        Dtype::U16 => (2, false),
        Dtype::U32 => (4, false),
        Dtype::I16 => (2, true),
        Dtype::I32 => (4, true),
        Dtype::I64 => (8, true),
        other => return Err(bad("codes", format!("{other:?}, allowed: integers"))),
    };
    let text = head.metadata().as_ref().and_then(|m| m.get(KEY));
    let meta = text.map_or(Ok(TokenMeta::default()), |t| serde_json::from_str(t));
    let meta = meta.map_err(|e| bad("metadata", e))?;
    let values = view.data().chunks_exact(bytes).map(|b| integer(b, signed));
    TokenFile::from_integers(view.shape(), values, meta)
}
