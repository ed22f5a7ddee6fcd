//! The messages of ONNX that are written here, with the field numbers of `onnx.proto3` (ONNX IR version 9).
//!
//! Only what the builder writes is listed; nothing is read.

use prost::Message;

/// `TensorProto.DataType.FLOAT`.
pub(super) const FLOAT: i32 = 1;
/// `TensorProto.DataType.INT64`.
pub(super) const INT64: i32 = 7;

#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelProto {
    #[prost(int64, tag = "1")]
    pub(super) ir_version: i64,
    #[prost(string, tag = "2")]
    pub(super) producer_name: String,
    #[prost(message, optional, tag = "7")]
    pub(super) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub(super) opset_import: Vec<OperatorSetIdProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    pub(super) domain: String,
    #[prost(int64, tag = "2")]
    pub(super) version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(super) input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub(super) output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) attribute: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(float, optional, tag = "2")]
    pub(super) f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub(super) i: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(super) s: Option<Vec<u8>>,
    #[prost(int64, repeated, tag = "8")]
    pub(super) ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    pub(super) kind: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub(super) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(super) data_type: i32,
    #[prost(string, tag = "8")]
    pub(super) name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub(super) raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) kind: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub(super) tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    pub(super) elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) dim: Vec<DimensionProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DimensionProto {
    #[prost(int64, optional, tag = "1")]
    pub(super) dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(super) dim_param: Option<String>,
}

impl AttributeProto {
    pub(super) fn int(name: &str, value: i64) -> Self {
        // The kinds are those of `AttributeProto.AttributeType`: 1 float, 2 integer, 3 string, 7 integers.
        Self { name: name.into(), i: Some(value), kind: 2, ..Default::default() }
    }

    pub(super) fn float(name: &str, value: f32) -> Self {
        Self { name: name.into(), f: Some(value), kind: 1, ..Default::default() }
    }

    pub(super) fn string(name: &str, value: &str) -> Self {
        Self { name: name.into(), s: Some(value.as_bytes().to_vec()), kind: 3, ..Default::default() }
    }

    pub(super) fn ints(name: &str, values: impl IntoIterator<Item = i64>) -> Self {
        Self { name: name.into(), ints: values.into_iter().collect(), kind: 7, ..Default::default() }
    }
}

impl TensorProto {
    pub(super) fn floats(name: String, shape: &[usize], values: &[f32]) -> Self {
        // ONNX fixes little-endian bytes for raw data, whatever the machine is.
        let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { name, dims: shape.iter().map(|&d| d as i64).collect(), data_type: FLOAT, raw_data }
    }

    pub(super) fn int64s(name: String, values: &[i64]) -> Self {
        let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { name, dims: vec![values.len() as i64], data_type: INT64, raw_data }
    }
}

impl ValueInfoProto {
    pub(super) fn float(name: &str, shape: &[usize]) -> Self {
        Self::float_dims(name, shape.iter().map(|&d| Ok(d)))
    }

    /// With the names of dimensions that are not stated.
    pub(super) fn float_dims<'a>(name: &str, dims: impl Iterator<Item = Result<usize, &'a str>>) -> Self {
        let dim = dims.map(|dim| match dim {
            Ok(size) => DimensionProto { dim_value: Some(size as i64), dim_param: None },
            Err(name) => DimensionProto { dim_value: None, dim_param: Some(name.into()) },
        });
        let dim = dim.collect();
        let tensor_type = TensorTypeProto { elem_type: FLOAT, shape: Some(TensorShapeProto { dim }) };
        Self { name: name.into(), kind: Some(TypeProto { tensor_type: Some(tensor_type) }) }
    }
}
