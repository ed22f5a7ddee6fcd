use siskin_model::runtime::{Runtime, StepNetwork};

use super::translate;
use crate::checkpoint::tflite::Model;
use crate::checkpoint::tflite::testing::File;

fn open(file: Vec<u8>, channels: usize) -> Box<dyn StepNetwork> {
    let model = Model::parse(file).expect("a whole file");
    let (graph, spec) = translate(&model, channels, ["in", "out"], "test.onnx").expect("a known graph");
    let runtime = Runtime::load(&Default::default()).expect("ONNX Runtime");
    runtime.open_network(&spec, &graph).expect("a graph that runs")
}

fn run(network: &mut dyn StepNetwork, input: &[f32]) -> Vec<f32> {
    network.input().copy_from_slice(input);
    network.run().expect("a run");
    network.output().to_vec()
}

const I8: u8 = 9;
const SLOPE: f32 = 0.3;

/// One layer of integers by integers: 64-bit sums, one rounding by the factor of each output, and the rectifier with eight
/// bits behind the point.
#[test]
fn integers_are_those_of_the_fixed_point_kernels() {
    let scales = [0.5, 1.5, 2.0, 0.7_f32];
    let zeros = [-3, 10, -20, 5_i64];
    let (weights, factors, biases) = ([1_i8, -2, 127, -127], [0.25, 0.0125_f32], [7_i32, -7]);
    let mut file = File::new();
    let x = file.floats(&[1, 1, 1, 2], &[]);
    let q: Vec<i32> = (0..4).map(|i| file.tensor(&[1, 1, 1, 2], I8, &[], &scales[i..=i], zeros[i])).collect();
    let w = file.tensor(&[2, 1, 1, 2], I8, &weights.map(|w| w as u8), &factors, 0);
    let b = file.tensor(&[2], 2, biases.map(i32::to_le_bytes).as_flattened(), &factors, 0);
    let y = file.floats(&[1, 1, 1, 2], &[]);
    file.operator(114, &[x], &[q[0]], None);
    file.conv([q[0], w, b], 1, q[1]);
    file.leaky_relu(q[1], q[2], SLOPE);
    file.add([q[1], q[2]], q[3]);
    file.operator(6, &[q[3]], &[y], None);
    let mut network = open(file.finish(x, y), 2);
    let clip = |x: i64| x.clamp(-128, 127);
    let mut seen = std::collections::BTreeSet::new();
    for i in 0..400 {
        let input = [(i % 20 * 7) as f32 * 0.25 - 16.0, (i / 20 * 11) as f32 * 0.25 - 31.0];
        let first = input.map(|v| clip((v / scales[0]).round_ties_even() as i64 + zeros[0]) - zeros[0]);
        let expected = [0, 1].map(|o| {
            let sum: i64 =
                (0..2).map(|c| first[c] * i64::from(weights[2 * o + c])).sum::<i64>() + i64::from(biases[o]);
            let factor = factors[o] * scales[0] / scales[1];
            let second = clip((sum as f32 * factor).round_ties_even() as i64 + zeros[1]) - zeros[1];
            let ratio = scales[1] / scales[2];
            let slope = (256.0 * if second < 0 { ratio * SLOPE } else { ratio }).round() as i64;
            let third = clip(((second * slope + 128) >> 8) + zeros[2]) - zeros[2];
            let sum = second as f32 * (scales[1] / scales[3]) + third as f32 * (scales[2] / scales[3]);
            clip(sum.round_ties_even() as i64 + zeros[3]) - zeros[3]
        });
        seen.insert(expected);
        assert_eq!(run(&mut *network, &input), expected.map(|q| q as f32 * scales[3]), "for {input:?}");
    }
    assert!(seen.len() > 100, "only {} outputs", seen.len());
}

/// A filter with a variable, a layer of two taps by two, and a transposed layer that overlaps: the same as on the whole signal.
#[test]
fn variables_carry_what_layers_look_back_to() {
    let (filter, filter_bias) = ([0.5, -1.0, 2.0_f32], 0.25);
    let (down, down_bias) = ([1.0, 2.0, -3.0, 0.5_f32], 0.125);
    let (up, up_bias) = ([1.0, -1.0, 0.5, 0.25_f32], -2.0);
    let mut file = File::new();
    let x = file.floats(&[1, 4, 1, 1], &[]);
    let handles = ["filter", "down", "up"].map(|name| file.variable(name));
    // Dilation 2 and three taps look back 4 samples.
    let read = file.floats(&[1, 4, 1, 1], &[]);
    file.operator(143, &[handles[0]], &[read], None);
    let joined = file.floats(&[1, 8, 1, 1], &[]);
    file.concat(&[read, x], 1, joined);
    let kept = file.floats(&[1, 4, 1, 1], &[]);
    file.slice(joined, -4, None, kept);
    file.operator(144, &[handles[0], kept], &[], None);
    let (w, b) = (file.floats(&[1, 3, 1, 1], &filter), file.floats(&[1], &[filter_bias]));
    let filtered = file.floats(&[1, 4, 1, 1], &[]);
    file.depthwise([joined, w, b], 2, filtered);
    // Four taps by two look back 2 samples.
    let read = file.floats(&[1, 2, 1, 1], &[]);
    file.operator(143, &[handles[1]], &[read], None);
    let joined = file.floats(&[1, 6, 1, 1], &[]);
    file.concat(&[read, filtered], 1, joined);
    let kept = file.floats(&[1, 2, 1, 1], &[]);
    file.slice(joined, 4, None, kept);
    file.operator(144, &[handles[1], kept], &[], None);
    let (w, b) = (file.floats(&[1, 4, 1, 1], &down), file.floats(&[1], &[down_bias]));
    let halved = file.floats(&[1, 2, 1, 1], &[]);
    file.conv([joined, w, b], 2, halved);
    // Back by two: two samples reach into the next frame.
    let shape = file.tensor(&[4], 2, &[0; 16], &[], 0);
    let (w, b) = (file.floats(&[1, 4, 1, 1], &up), file.floats(&[1], &[up_bias]));
    let doubled = file.floats(&[1, 6, 1, 1], &[]);
    file.conv_transpose([shape, w, halved, b], 2, doubled);
    let read = file.floats(&[1, 2, 1, 1], &[]);
    file.operator(143, &[handles[2]], &[read], None);
    let zeros = file.floats(&[1, 4, 1, 1], &[0.0; 4]);
    let padded = file.floats(&[1, 6, 1, 1], &[]);
    file.concat(&[read, zeros], 1, padded);
    let sum = file.floats(&[1, 6, 1, 1], &[]);
    file.add([doubled, padded], sum);
    let tail = file.floats(&[1, 2, 1, 1], &[]);
    file.slice(sum, -2, None, tail);
    let (bias, carried) = (file.floats(&[1], &[up_bias]), file.floats(&[1, 2, 1, 1], &[]));
    file.subtract([tail, bias], carried);
    file.operator(144, &[handles[2], carried], &[], None);
    let y = file.floats(&[1, 4, 1, 1], &[]);
    file.slice(sum, 0, Some(4), y);
    let mut network = open(file.finish(x, y), 1);

    let signal: Vec<f32> = (0..24).map(|i| ((i * 37) % 23) as f32 - 11.0).collect();
    let at = |x: &[f32], i: isize| usize::try_from(i).ok().and_then(|i| x.get(i)).copied().unwrap_or(0.0);
    let filtered: Vec<f32> = (0..24)
        .map(|i: isize| {
            filter_bias + (0..3).map(|k| filter[k as usize] * at(&signal, i - 4 + 2 * k)).sum::<f32>()
        })
        .collect();
    let halved: Vec<f32> = (0..12)
        .map(|i: isize| {
            down_bias + (0..4).map(|k| down[k as usize] * at(&filtered, 2 * i - 2 + k)).sum::<f32>()
        })
        .collect();
    let expected: Vec<f32> = (0..24)
        .map(|i: isize| {
            let (place, half) = ((i % 2) as usize, i / 2);
            up_bias + up[place] * at(&halved, half) + up[place + 2] * at(&halved, half - 1)
        })
        .collect();
    let whole: Vec<f32> = signal.chunks(4).flat_map(|frame| run(&mut *network, frame)).collect();
    for (i, (got, wanted)) in whole.iter().zip(&expected).enumerate() {
        assert!((got - wanted).abs() < 1e-4, "sample {i}: {got}, expected: {wanted}");
    }
    network.reset();
    assert_eq!(run(&mut *network, &signal[..4]), whole[..4]);
}

/// Two parts of a signal with a transposed layer each, whose integers have scales of their own, as one layer.
#[test]
fn parts_are_computed_as_one_layer() {
    let (scale, scales, zeros) = (0.5, [0.75, 1.25_f32], [4, -9_i64]);
    // [tap][in] of each part, and what one unit of the weights is.
    let weights = [[3_i8, -5, 7, 2], [-11, 4, 1, 6]];
    let (factors, biases, kept_biases) = ([0.5, 0.25_f32], [5_i32, -3], [1.25, -0.9375_f32]);
    let mut file = File::new();
    let x = file.floats(&[1, 1, 1, 4], &[]);
    let q = file.tensor(&[1, 1, 1, 4], I8, &[], &[scale], 0);
    file.operator(114, &[x], &[q], None);
    let parts = [0, 1].map(|_| file.tensor(&[1, 1, 1, 2], I8, &[], &[scale], 0));
    let axis = file.tensor(&[], 2, &3_i32.to_le_bytes(), &[], 0);
    file.operator(49, &[axis, q], &parts, None);
    let heads = [0, 1].map(|i| {
        let shape = file.tensor(&[4], 2, &[0; 16], &[], 0);
        let w = file.tensor(&[1, 2, 1, 2], I8, &weights[i].map(|w| w as u8), &factors[i..=i], 0);
        let b = file.tensor(&[1], 2, &biases[i].to_le_bytes(), &[factors[i] * scale], 0);
        let sums = file.tensor(&[1, 2, 1, 1], I8, &[], &scales[i..=i], zeros[i]);
        file.conv_transpose([shape, w, parts[i], b], 1, sums);
        let real = file.floats(&[1, 2, 1, 1], &[]);
        file.operator(6, &[sums], &[real], None);
        let handle = file.variable(["a", "b"][i]);
        let read = file.floats(&[1, 1, 1, 1], &[]);
        file.operator(143, &[handle], &[read], None);
        let (zeros, padded) = (file.floats(&[1, 1, 1, 1], &[0.0]), file.floats(&[1, 2, 1, 1], &[]));
        file.concat(&[read, zeros], 1, padded);
        let sum = file.floats(&[1, 2, 1, 1], &[]);
        file.add([real, padded], sum);
        let (tail, kept) = (file.floats(&[1, 1, 1, 1], &[]), file.floats(&[1, 1, 1, 1], &[]));
        file.slice(sum, -1, None, tail);
        let bias = file.floats(&[1], &kept_biases[i..=i]);
        file.subtract([tail, bias], kept);
        file.operator(144, &[handle, kept], &[], None);
        let head = file.floats(&[1, 1, 1, 1], &[]);
        file.slice(sum, 0, Some(1), head);
        head
    });
    let y = file.floats(&[1, 1, 1, 2], &[]);
    file.concat(&heads, 3, y);
    let file = file.finish(x, y);
    let model = Model::parse(file.clone()).expect("a whole file");
    let (_, spec) = translate(&model, 4, ["in", "out"], "test.onnx").expect("a known graph");
    assert_eq!(
        spec.states.iter().map(|s| &s.shape[..]).collect::<Vec<_>>(),
        [[1, 2]],
        "one state of both parts"
    );
    let mut network = open(file, 4);
    let mut carried = [0.0; 2];
    for i in 0..200 {
        let input = [13, 29, 41, 57].map(|k| ((i * k) % 37) as f32 * 0.25 - 4.5);
        let integers = input.map(|x| (x / scale).round_ties_even() as i64);
        let expected = [0, 1].map(|part| {
            let taps = [0, 1].map(|tap| {
                let sum: i64 =
                    (0..2).map(|c| integers[2 * part + c] * i64::from(weights[part][2 * tap + c])).sum();
                let factor = factors[part] * scale / scales[part];
                let steps = ((sum + i64::from(biases[part])) as f32 * factor).round_ties_even() as i64;
                let steps = (steps + zeros[part]).clamp(-128, 127) - zeros[part];
                steps as f32 * scales[part]
            });
            let out = taps[0] + carried[part];
            carried[part] = taps[1] - kept_biases[part];
            out
        });
        assert_eq!(run(&mut *network, &input), expected, "run {i}");
    }
}

#[test]
fn what_is_not_known_is_named() {
    let mut file = File::new();
    let (x, y) = (file.floats(&[1, 1, 1, 2], &[]), file.floats(&[1, 1, 1, 2], &[]));
    file.operator(28, &[x], &[y], None);
    let model = Model::parse(file.finish(x, y)).expect("a whole file");
    let error = translate(&model, 2, ["in", "out"], "test.onnx").expect_err("a tanh");
    assert!(error.contains("operator 0 (Other(28))"), "{error}");
}
