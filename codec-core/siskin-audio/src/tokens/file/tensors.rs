//! Safetensors.

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

use siskin_error::Result;

use crate::tokens::file::code_type::CodeType;
use crate::tokens::file::meta::TokenMeta;
use crate::tokens::file::token_file::{TokenFile, file_error, read_integer};

/// Key of the metadata: a single one, since several have no fixed order and the same codes should give the same bytes.
const KEY: &str = "siskin";

pub(crate) fn to_bytes(file: &TokenFile, code_type: CodeType) -> Result<Vec<u8>> {
    let bytes = code_type.to_bytes(&file.codes);
    let dtype = match code_type {
        CodeType::U16 => Dtype::U16,
        CodeType::I32 => Dtype::I32,
        CodeType::I64 => Dtype::I64,
    };
    let shape = vec![file.codebooks, file.frames];
    let view = TensorView::new(dtype, shape, &bytes).map_err(|e| file_error("codes", e))?;
    let meta = serde_json::to_string(&file.meta).map_err(|e| file_error("metadata", e))?;
    let meta = HashMap::from([(KEY.to_owned(), meta)]);
    serialize([("codes", view)], Some(meta)).map_err(|e| file_error("codes", e))
}

pub(crate) fn from_bytes(data: &[u8]) -> Result<TokenFile> {
    // `deserialize` validates but does not hand out the metadata.
    let (_, head) = SafeTensors::read_metadata(data).map_err(|e| file_error("header", e))?;
    let tensors = SafeTensors::deserialize(data).map_err(|e| file_error("header", e))?;
    let view = tensors.tensor("codes").map_err(|e| file_error("codes", e))?;
    let (bytes, signed) = match view.dtype() {
        // Integers of every width: data sets store codes as they come.
        Dtype::U8 => (1, false),
        Dtype::U16 => (2, false),
        Dtype::U32 => (4, false),
        Dtype::I16 => (2, true),
        Dtype::I32 => (4, true),
        Dtype::I64 => (8, true),
        other => return Err(file_error("codes", format!("{other:?}, allowed: integers"))),
    };
    let text = head.metadata().as_ref().and_then(|m| m.get(KEY));
    let meta = text.map_or(Ok(TokenMeta::default()), |t| serde_json::from_str(t));
    let meta = meta.map_err(|e| file_error("metadata", e))?;
    let values = view.data().chunks_exact(bytes).map(|b| read_integer(b, signed));
    TokenFile::from_integers(view.shape(), values, meta)
}
