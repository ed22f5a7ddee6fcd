use siskin_model::bundle::GraphSpec;

use super::{Dice, Whole, append, assert_close, frame_of, runtime, stream};
use crate::checkpoint::Tensor;
use crate::stream::{Conv, Padding, Start, StreamGraph, Transposed};

/// What comes before the first sample.
fn sample(x: &[f64], at: isize, padding: Padding) -> f64 {
    match (usize::try_from(at), padding) {
        (Ok(at), _) => x.get(at).copied().unwrap_or(0.0),
        (Err(_), Padding::Zero) => 0.0,
        (Err(_), Padding::Replicate) => x[0],
        (Err(_), Padding::Reflect) => x[at.unsigned_abs()],
    }
}

/// The convolution of a whole signal.
pub(super) fn convolve(x: &Whole, conv: &Conv) -> Whole {
    let [outputs, per_group, taps] = conv.weight.shape[..] else { panic!("weights of three dimensions") };
    let rows = outputs / conv.groups;
    let one = |o: usize, t: usize| {
        let weights = &conv.weight.values[o * per_group * taps..(o + 1) * per_group * taps];
        let products = weights.iter().enumerate().map(|(i, &w)| {
            let channel = &x[o / rows * per_group + i / taps];
            let at = (t * conv.stride + i % taps * conv.dilation) as isize - conv.left as isize;
            f64::from(w) * sample(channel, at, conv.padding)
        });
        products.sum::<f64>() + conv.bias.as_ref().map_or(0.0, |b| b.values[o].into())
    };
    (0..outputs).map(|o| (0..x[0].len() / conv.stride).map(|t| one(o, t)).collect()).collect()
}

/// The transposed convolution of a whole signal.
fn spread(x: &Whole, conv: &Transposed) -> Whole {
    let [inputs, per_group, taps] = conv.weight.shape[..] else { panic!("weights of three dimensions") };
    let columns = inputs / conv.groups;
    let mut y = vec![vec![0.0; x[0].len() * conv.stride]; per_group * conv.groups];
    for (i, channel) in x.iter().enumerate() {
        for (t, &value) in channel.iter().enumerate() {
            for j in 0..per_group * taps {
                let weight = f64::from(conv.weight.values[i * per_group * taps + j]);
                let at = (t * conv.stride + j % taps).checked_sub(conv.cut);
                let output = &mut y[i / columns * per_group + j / taps];
                if let Some(y) = at.and_then(|at| output.get_mut(at)) {
                    *y += weight * value;
                }
            }
        }
    }
    let bias = |o: usize| conv.bias.as_ref().map_or(0.0, |b| f64::from(b.values[o]));
    y.iter_mut().enumerate().for_each(|(o, c)| c.iter_mut().for_each(|v| *v += bias(o)));
    y
}

fn conv(dice: &mut Dice, channels: [usize; 2], taps: usize, stride: usize, dilation: usize) -> Conv {
    let weight = dice.tensor(&[channels[1], channels[0], taps]);
    let bias = Some(dice.tensor(&channels[1..]));
    Conv { weight, bias, stride, dilation, groups: 1, left: 0, padding: Padding::Zero }
}

#[test]
fn convolutions_equal_those_of_the_whole() {
    let mut dice = Dice(1);
    for (taps, stride, dilation, groups) in [
        (1usize, 1usize, 1, 1),
        (3, 1, 1, 1),
        (7, 1, 1, 4),
        (3, 1, 3, 2),
        (7, 1, 9, 1),
        (2, 2, 1, 1),
        (4, 2, 1, 2),
        (5, 2, 1, 1),
        (11, 5, 1, 1),
        (6, 3, 1, 4),
        (10, 5, 1, 1),
    ] {
        let span = (taps - 1) * dilation + 1;
        let most = span - stride;
        // Causal, as much ahead as back, and all of it ahead.
        for left in [most, span / 2, stride.div_ceil(2), 0].into_iter().filter(|&l| l <= most) {
            for frame in [1, 2, 7].map(|n| n * stride) {
                let mut layer = conv(&mut dice, [4, 8], taps, stride, dilation);
                layer.weight = dice.tensor(&[8, 4 / groups, taps]);
                (layer.groups, layer.left) = (groups, left);
                let x = dice.signal(4, frame * 12);
                let y = stream(&x, frame, |g, x| g.conv(x, &layer));
                let what = format!(
                    "taps {taps}, stride {stride}, dilation {dilation}, groups {groups}, left {left}, frame {frame}"
                );
                assert_close(&y, &convolve(&x, &layer), &what);
            }
        }
    }
}

#[test]
fn the_first_sample_is_held_before_the_start() {
    let mut dice = Dice(2);
    for (taps, stride) in [(4, 2), (3, 1), (9, 4)] {
        let layer = Conv {
            padding: Padding::Replicate,
            left: taps - stride,
            ..conv(&mut dice, [2, 3], taps, stride, 1)
        };
        for frame in [stride, 5 * stride] {
            let x = dice.signal(2, frame * 9);
            let y = stream(&x, frame, |g, x| g.conv(x, &layer));
            assert_close(&y, &convolve(&x, &layer), &format!("taps {taps}, stride {stride}, frame {frame}"));
        }
    }
}

#[test]
fn transposed_convolutions_equal_those_of_the_whole() {
    let mut dice = Dice(3);
    for (taps, stride, groups) in
        [(1, 1, 1), (4, 2, 1), (4, 2, 4), (11, 5, 2), (10, 5, 1), (16, 8, 1), (5, 5, 1), (12, 3, 1)]
    {
        for cut in [0, (taps - stride) / 2, taps - stride] {
            for frame in [1, 3] {
                let layer = Transposed {
                    weight: dice.tensor(&[4, 8 / groups, taps]),
                    bias: Some(dice.tensor(&[8])),
                    stride,
                    groups,
                    cut,
                };
                let x = dice.signal(4, frame * 10);
                let y = stream(&x, frame, |g, x| g.conv_transpose(x, &layer));
                let what = format!("taps {taps}, stride {stride}, groups {groups}, cut {cut}, frame {frame}");
                assert_close(&y, &spread(&x, &layer), &what);
            }
        }
    }
}

/// Layers that look ahead, one after another: their lags add up, the branches of a sum meet again, and every layer sees zeros
/// beyond both ends although its input is not zero there (biases).
#[test]
fn chains_that_look_ahead_equal_those_of_the_whole() {
    let mut dice = Dice(4);
    let symmetric = |dice: &mut Dice, channels, taps: usize, stride: usize, dilation: usize| {
        let left = if stride > 1 { stride.div_ceil(2) } else { (taps - 1) * dilation / 2 };
        Conv { left, ..conv(dice, channels, taps, stride, dilation) }
    };
    for (first, second) in [(2, 3), (4, 5), (5, 2), (3, 8)] {
        let layers = [
            symmetric(&mut dice, [1, 3], 7, 1, 1),
            symmetric(&mut dice, [3, 4], 2 * first, first, 1),
            symmetric(&mut dice, [4, 4], 7, 1, 3),
            symmetric(&mut dice, [4, 5], 2 * second, second, 1),
            symmetric(&mut dice, [5, 5], 3, 1, 9),
        ];
        let up = Transposed {
            weight: dice.tensor(&[5, 2, 2 * second]),
            bias: Some(dice.tensor(&[2])),
            stride: second,
            groups: 1,
            cut: second.div_ceil(2),
        };
        let end = symmetric(&mut dice, [2, 2], 7, 1, 1);
        for frames in [1, 4] {
            let frame = first * second * frames;
            // From signals shorter than what the layers see to longer ones.
            for count in [1, 3, 20] {
                let x = dice.signal(1, frame * count);
                let y = stream(&x, frame, |g, x| {
                    let mut x = g.conv(x, &layers[0]);
                    x = g.conv(&x, &layers[1]);
                    let branch = g.conv(&x, &layers[2]);
                    x = g.add(&x, &branch);
                    x = g.conv(&x, &layers[3]);
                    let branch = g.conv(&x, &layers[4]);
                    x = g.add(&branch, &x);
                    x = g.conv_transpose(&x, &up);
                    g.conv(&x, &end)
                });
                let sum = |a: &Whole, b: &Whole| -> Whole {
                    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
                };
                let mut e = convolve(&convolve(&x, &layers[0]), &layers[1]);
                e = sum(&e, &convolve(&e, &layers[2]));
                e = convolve(&e, &layers[3]);
                e = sum(&e, &convolve(&e, &layers[4]));
                e = convolve(&spread(&e, &up), &end);
                // DAC's odd strides make the last samples of its own whole another: its transposed convolution ends early.
                assert_close(&y, &e, &format!("strides {first} and {second}, frame {frame}, {count} frames"));
            }
        }
    }
}

#[test]
fn a_stream_begins_mirrored_where_its_first_frames_come_together() {
    let mut dice = Dice(5);
    let (frame, opening, count) = (4, 6, 20);
    // Layers that look back alone, and some that look ahead as well, by other numbers of samples.
    for lefts in [[6, 4, 2], [3, 2, 1], [4, 1, 2]] {
        let mut layer = |i: usize, channels, taps, stride| Conv {
            left: lefts[i],
            padding: Padding::Reflect,
            ..conv(&mut dice, channels, taps, stride, 1)
        };
        let layers = [layer(0, [1, 2], 7, 1), layer(1, [2, 3], 8, 4), layer(2, [3, 2], 3, 1)];
        let build = |start: Option<usize>| {
            let (mut g, frames) = match start {
                None => (StreamGraph::new("test", Start::States), 1),
                Some(frames) => (StreamGraph::opening("test", frames), frames),
            };
            let x = g.input("x", 1, frame * frames);
            let y = layers.iter().fold(x, |x, layer| g.conv(&x, layer));
            let lag = y.lag;
            (g.finish("y", &y, "test.onnx"), lag)
        };
        mirrored_start(&mut dice, [frame, opening, count], &layers, build);
    }
}

fn mirrored_start(
    dice: &mut Dice,
    [frame, opening, count]: [usize; 3],
    layers: &[Conv],
    build: impl Fn(Option<usize>) -> ((Vec<u8>, GraphSpec), usize),
) {
    let x = dice.signal(1, frame * count);
    let ((graph, spec), lag) = build(Some(opening));
    let mut first = runtime().open_whole_network("test.onnx", &graph).expect("a graph");
    let names: Vec<&str> =
        std::iter::once("y").chain(spec.states.iter().map(|s| s.output.as_str())).collect();
    let input = frame_of(&x, 0, frame * opening);
    let value = siskin_model::runtime::Value::F32(&[1, 1, frame * opening], &input);
    let mut outputs =
        first.run(&[("x", value)], &names).expect("a run").into_iter().map(|(_, values)| values);
    let mut y: Whole = vec![Vec::new(); 2];
    append(&mut y, &outputs.next().expect("an output"));
    let ((graph, spec), _) = build(None);
    let mut rest = runtime().open_network(&spec, &graph).expect("a graph");
    rest.restore(&outputs.collect::<Vec<_>>()).expect("the states of the other graph");
    for at in opening..count {
        rest.input().copy_from_slice(&frame_of(&x, at * frame, frame));
        rest.run().expect("a run");
        append(&mut y, rest.output());
    }
    let expected = layers.iter().fold(x, |x, layer| convolve(&x, layer));
    let expected: Whole = expected.iter().map(|c| c[..c.len() - lag].to_vec()).collect();
    assert_close(&y, &expected, &format!("mirrored start, late by {lag}"));
}

#[test]
fn weights_with_lengths_of_their_own_are_multiplied() {
    // A row of length 5 that is stated to have length 10.
    let direction = Tensor { shape: vec![1, 1, 2], values: vec![3.0, 4.0] };
    let length = Tensor { shape: vec![1, 1, 1], values: vec![10.0] };
    let entries = [("c.weight_v", direction), ("c.weight_g", length)];
    let mut checkpoint =
        crate::checkpoint::Checkpoint::from_tensors(entries.map(|(n, t)| (n.to_owned(), t)).into());
    let weight = checkpoint.weight("c", &[1, 1, 2]).expect("a weight");
    assert_eq!(weight.values, [6.0, 8.0]);
    checkpoint.finish().expect("nothing left over");
}
