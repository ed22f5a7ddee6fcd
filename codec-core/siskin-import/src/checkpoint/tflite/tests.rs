use super::testing::File;
use super::{Element, Model, Op};

/// A convolution of integers: two inputs, two outputs, one tap.
fn example() -> Vec<u8> {
    let mut file = File::new();
    let x = file.tensor(&[1, 3, 1, 2], 9, &[], &[0.5], -3);
    let w = file.tensor(&[2, 1, 1, 2], 9, &[1, 254, 127, 129], &[0.25, 0.125], 0);
    let b = file.tensor(&[2], 2, &[7, 0, 0, 0, 249, 255, 255, 255], &[0.125, 0.0625], 0);
    let y = file.tensor(&[1, 3, 1, 2], 9, &[], &[2.0], 10);
    file.conv([x, w, b], 1, y);
    file.finish(x, y)
}

#[test]
fn tensors_and_operators_are_read() {
    let model = Model::parse(example()).expect("a whole file");
    let graph = &model.graphs[0];
    assert_eq!((&graph.inputs[..], &graph.outputs[..]), (&[0][..], &[3][..]));
    let (x, w, b) = (&graph.tensors[0], &graph.tensors[1], &graph.tensors[2]);
    assert_eq!((&x.name[..], &x.shape[..], x.element), ("tensor0", &[1, 3, 1, 2][..], Element::I8));
    let q = x.quantized.as_ref().expect("scales");
    assert_eq!((&q.scales[..], q.zero_point), (&[0.5][..], -3));
    assert_eq!(model.constant(w).expect("weights").values, [1.0, -2.0, 127.0, -127.0]);
    assert_eq!(w.quantized.as_ref().expect("scales").scales, [0.25, 0.125]);
    assert_eq!(model.constant(b).expect("biases").values, [7.0, -7.0]);
    assert_eq!(graph.operators[0].op, Op::Conv { stride: 1, dilation: 1 });
    assert_eq!(graph.operators[0].inputs, [Some(0), Some(1), Some(2)]);
    assert!(model.constant(x).is_err_and(|e| e.contains("tensor0")));
}

#[test]
fn a_file_that_ends_early_is_refused() {
    let whole = example();
    for length in 0..whole.len() {
        let cut = whole[..length].to_vec();
        let read = Model::parse(cut).and_then(|m| {
            let constants = [1, 2].map(|t| m.constant(&m.graphs[0].tensors[t]));
            constants.into_iter().collect::<Result<Vec<_>, _>>()
        });
        assert!(read.is_err(), "cut to {length} of {}", whole.len());
    }
}

#[test]
fn bad_offsets_are_named() {
    let whole = example();
    let root = u32::from_le_bytes([whole[0], whole[1], whole[2], whole[3]]) as usize;
    let fails = |at: usize, bytes: [u8; 4], words: &str| {
        let mut broken = whole.clone();
        broken[at..at + 4].copy_from_slice(&bytes);
        let error = Model::parse(broken).err().unwrap_or_default();
        assert!(error.contains(words), "{error:?} at {at}");
    };
    fails(0, [255; 4], "Model: the reference at byte 0");
    fails(4, *b"TFL2", "no file of the kind TFL3");
    fails(root, i32::MIN.to_le_bytes(), "table Model");
    fails(root, i32::MAX.to_le_bytes(), "table Model");
    let list =
        root - i32::from_le_bytes([whole[root], whole[root + 1], whole[root + 2], whole[root + 3]]) as usize;
    let field =
        |n: usize| root + usize::from(u16::from_le_bytes([whole[list + 4 + 2 * n], whole[list + 5 + 2 * n]]));
    fails(field(0), [9, 0, 0, 0], "version 9");
    fails(field(2), [255, 255, 255, 127], "field 2 of table Model");
}

/// Every byte of a file set to other values: an error or another model, and neither a panic nor more memory than the file's
/// size allows.
#[test]
fn broken_bytes_are_read_without_panic() {
    let whole = example();
    let mut refused = 0;
    for at in 0..whole.len() {
        for value in [0, 1, 127, 128, 255, whole[at].wrapping_add(1)] {
            let mut broken = whole.clone();
            broken[at] = value;
            match Model::parse(broken) {
                Ok(model) => model.graphs.iter().flat_map(|g| &g.tensors).for_each(|t| {
                    model.constant(t).ok();
                }),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > whole.len() / 2, "{refused} of {} were refused", 6 * whole.len());
}
