use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use super::Tensor;

/// The number types that checkpoints store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
}

impl Number {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }

    /// Value `index` of little-endian data that is known to hold it.
    pub(super) fn read(self, data: &[u8], index: usize) -> f32 {
        fn at<const N: usize>(data: &[u8], index: usize) -> [u8; N] {
            let mut bytes = [0; N];
            bytes.copy_from_slice(&data[index * N..(index + 1) * N]);
            bytes
        }
        match self {
            Self::F64 => f64::from_le_bytes(at(data, index)) as f32,
            Self::F32 => f32::from_le_bytes(at(data, index)),
            Self::F16 => f16::from_le_bytes(at(data, index)).to_f32(),
            Self::Bf16 => bf16::from_le_bytes(at(data, index)).to_f32(),
            Self::I64 => i64::from_le_bytes(at(data, index)) as f32,
            Self::I32 => i32::from_le_bytes(at(data, index)) as f32,
            Self::I16 => f32::from(i16::from_le_bytes(at(data, index))),
            Self::I8 => f32::from(i8::from_le_bytes(at(data, index))),
            Self::U8 => f32::from(data[index]),
        }
    }
}

pub(super) fn read_safetensors(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, String> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| format!("neither a PyTorch archive nor safetensors: {e}"))?;
    let read = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let number = match view.dtype() {
            Dtype::F64 => Number::F64,
            Dtype::F32 => Number::F32,
            Dtype::F16 => Number::F16,
            Dtype::BF16 => Number::Bf16,
            Dtype::I64 => Number::I64,
            Dtype::I32 => Number::I32,
            Dtype::I16 => Number::I16,
            Dtype::I8 => Number::I8,
            Dtype::U8 | Dtype::BOOL => Number::U8,
            other => return Err(format!("tensor {name} is of {other:?}, which no codec here has")),
        };
        // The file's own check has held shape and bytes together.
        let count: usize = view.shape().iter().product();
        let values = (0..count).map(|i| number.read(view.data(), i)).collect();
        Ok((name, Tensor { shape: view.shape().to_vec(), values }))
    };
    file.tensors().into_iter().map(read).collect()
}
