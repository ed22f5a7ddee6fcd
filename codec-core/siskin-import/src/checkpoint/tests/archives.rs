use super::{Pickle, archive, floats};
use crate::checkpoint::Tensor;
use crate::checkpoint::torch::read_archive;

#[test]
fn tensors_of_every_number_type_are_read() {
    let half = [0x3c00u16, 0xc000, 0x3800].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
    let brain = [0x3f80u16, 0xc000, 0x3f00].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
    let double = [1.0f64, -2.0, 0.5].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
    let long = [1i64, -2, 3].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
    let (byte, float) = (vec![1u8, 254, 3], floats(&[1.0, -2.0, 0.5]));
    let kinds = [
        ("HalfStorage", &half, [1.0, -2.0, 0.5]),
        ("BFloat16Storage", &brain, [1.0, -2.0, 0.5]),
        ("FloatStorage", &float, [1.0, -2.0, 0.5]),
        ("DoubleStorage", &double, [1.0, -2.0, 0.5]),
        ("LongStorage", &long, [1.0, -2.0, 3.0]),
        ("ByteStorage", &byte, [1.0, 254.0, 3.0]),
        ("CharStorage", &byte, [1.0, -2.0, 3.0]),
    ];
    for (kind, bytes, expected) in kinds {
        let pickle = Pickle::new().dict(|p| p.text("w").tensor(kind, "7", [3, 0], &[3], &[1])).end();
        let (tensors, _) = read_archive(&archive(&pickle, &[("7", bytes)])).expect(kind);
        assert_eq!(tensors["w"], Tensor { shape: vec![3], values: expected.to_vec() }, "{kind}");
    }
}

#[test]
fn views_are_read_by_their_strides() {
    let numbers: Vec<f32> = (0..12).map(|v| v as f32).collect();
    let pickle = Pickle::new()
        .dict(|p| {
            let p = p.text("rows").tensor("FloatStorage", "0", [12, 0], &[3, 4], &[4, 1]);
            let p = p.text("columns").tensor("FloatStorage", "0", [12, 0], &[4, 3], &[1, 4]);
            let p = p.text("part").tensor("FloatStorage", "0", [12, 5], &[2, 2], &[4, 1]);
            p.text("one").tensor("FloatStorage", "0", [12, 11], &[], &[])
        })
        .end();
    let (tensors, _) = read_archive(&archive(&pickle, &[("0", &floats(&numbers))])).expect("an archive");
    assert_eq!(tensors["rows"].values, numbers);
    assert_eq!(tensors["columns"].values, [0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.]);
    assert_eq!(tensors["part"].values, [5., 6., 9., 10.]);
    assert_eq!(tensors["one"], Tensor { shape: vec![], values: vec![11.0] });
}

#[test]
fn dictionaries_within_the_first_put_their_keys_before_the_names() {
    let pickle = Pickle::new()
        .dict(|p| {
            let p =
                p.text("state_dict").dict(|p| p.text("w").tensor("FloatStorage", "0", [1, 0], &[1], &[1]));
            let p = p.text("metadata").dict(|p| p.text("kwargs").dict(|p| p.text("sample_rate").int(16_000)));
            // What training keeps beside: numbers as keys, texts, lists, nothing.
            let p = p
                .text("optimizer")
                .dict(|p| p.int(0).int(1).text("name").text("adam").text("l").code(b"](K\x01e"));
            p.text("step").code(b"G").code(1.5f64.to_be_bytes()).text("none").code(b"N")
        })
        .end();
    let (tensors, numbers) = read_archive(&archive(&pickle, &[("0", &floats(&[4.0]))])).expect("an archive");
    assert_eq!(tensors.keys().collect::<Vec<_>>(), ["state_dict.w"]);
    assert_eq!(numbers, [("metadata.kwargs.sample_rate".to_owned(), 16_000)].into());
}
