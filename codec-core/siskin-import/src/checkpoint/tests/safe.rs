use std::collections::BTreeMap;
use std::fs;

use safetensors::tensor::{Dtype, TensorView};

use super::floats;
use crate::checkpoint::tensors::read_safetensors;
use crate::checkpoint::{Checkpoint, Tensor};

fn file(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let view = TensorView::new(dtype, shape.to_vec(), bytes).expect("bytes that fill the shape");
    safetensors::serialize([("w", view)], None).expect("a file")
}

#[test]
fn tensors_are_read_in_every_number_type() {
    let whole = file(Dtype::F32, &[2, 1], &floats(&[1.0, -2.0]));
    let expected = Tensor { shape: vec![2, 1], values: vec![1.0, -2.0] };
    assert_eq!(read_safetensors(&whole).expect("a file")["w"], expected);
    for (dtype, bytes) in [(Dtype::F16, [0x00, 0x3c, 0x00, 0xc0]), (Dtype::BF16, [0x80, 0x3f, 0x00, 0xc0])] {
        assert_eq!(read_safetensors(&file(dtype, &[2, 1], &bytes)).expect("a file")["w"], expected);
    }
    let complex = file(Dtype::C64, &[1], &[0; 8]);
    assert!(read_safetensors(&complex).expect_err("a refusal").contains("tensor w is of C64"));
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let whole = file(Dtype::F32, &[2, 1], &floats(&[1.0, -2.0]));
    for length in 0..whole.len() {
        assert!(read_safetensors(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
    // A header that says it is as long as memory, and shapes that the bytes do not fill.
    assert!(read_safetensors(&[0xff; 64]).is_err());
    for shape in ["[2,2]", "[3,1]", "[4611686018427387904,4]", "[-1]"] {
        let header = format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":[0,8]}}}}"#);
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat();
        assert!(read_safetensors(&bytes).is_err(), "{shape}");
    }
}

#[test]
fn a_tensor_is_taken_by_its_name_and_shape() {
    let of = |values: &[f32]| {
        let tensor = Tensor { shape: vec![values.len()], values: values.to_vec() };
        Checkpoint::from_tensors(BTreeMap::from([("w".to_owned(), tensor)]))
    };
    let refusal = |result: Result<Tensor, String>| result.expect_err("a refusal");
    assert_eq!(of(&[1.0, 2.0]).take("w", &[2]).expect("a tensor").values, [1.0, 2.0]);
    assert_eq!(refusal(of(&[1.0]).take("v", &[1])), "no tensor v [1]");
    assert_eq!(refusal(of(&[1.0]).take("w", &[1, 1])), "tensor w has the shape [1], expected: [1, 1]");
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(refusal(of(&[0.0, bad]).take("w", &[2])), "tensor w holds values that are not finite");
    }
    assert_eq!(of(&[1.0]).finish().expect_err("a refusal"), "tensor w is not one of this codec");
}

#[test]
fn a_configuration_beside_the_weights_is_read_and_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let weights = folder.path().join("model.safetensors");
    fs::write(&weights, file(Dtype::F32, &[1], &floats(&[1.0]))).expect("weights");
    assert_eq!(Checkpoint::open(&weights).expect("a checkpoint").number("config.sampling_rate"), None);
    let config = folder.path().join("config.json");
    fs::write(&config, r#"{"sampling_rate": 24000, "norm": 1.5, "name": "x"}"#).expect("a configuration");
    assert_eq!(
        Checkpoint::open(&weights).expect("a checkpoint").number("config.sampling_rate"),
        Some(24_000)
    );
    // Nested beyond the parser's bound, not JSON, no object, and longer than any configuration.
    for text in
        ["[".repeat(100_000), "{".into(), "[1]".into(), format!("{{\"a\": \"{}\"}}", "x".repeat(2 << 20))]
    {
        fs::write(&config, text).expect("a configuration");
        let refusal = Checkpoint::open(&weights).err().expect("a refusal").to_string();
        assert!(refusal.contains("config.json"), "{refusal}");
    }
    fs::remove_file(&config).expect("the configuration goes");
    assert!(Checkpoint::open(&folder.path().join("absent")).is_err());
    fs::write(&weights, b"RIFF....WAVE").expect("another file");
    let refusal = Checkpoint::open(&weights).err().expect("a refusal").to_string();
    assert!(refusal.contains("neither a PyTorch archive nor safetensors"), "{refusal}");
}
