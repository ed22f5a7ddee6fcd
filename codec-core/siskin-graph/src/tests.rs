//! Each operator's backward pass against finite differences, through ONNX Runtime.

use siskin_model::runtime::{Provider, Runtime, RuntimeOptions, TensorSpec};

use super::testing::{check, values, weigh};
use super::{Graph, Var};

#[test]
fn functions_of_one_value() {
    type F = fn(&mut Graph, Var) -> Var;
    let all: [(&str, F); 9] = [
        ("neg", Graph::neg),
        ("exp", Graph::exp),
        ("sin", Graph::sin),
        ("cos", Graph::cos),
        ("tanh", Graph::tanh),
        ("erf", Graph::erf),
        ("gelu", Graph::gelu),
        ("square", Graph::square),
        ("positive", |g, x| {
            let square = g.square(x);
            let above = g.offset(square, 0.5);
            let (root, log) = (g.sqrt(above), g.log(above));
            g.add(root, log)
        }),
    ];
    for (name, f) in all {
        check(name, &[3, 4], |g, x| {
            let y = f(g, x);
            weigh(g, y)
        });
    }
    // Away from the kinks, which a difference would step over.
    for (name, f) in [("abs", Graph::abs as F), ("relu", Graph::relu as F)] {
        check(name, &[20], |g, x| {
            let apart = g.sign(x);
            let apart = g.scale(apart, 0.5);
            let away = g.add(x, apart);
            let y = f(g, away);
            weigh(g, y)
        });
    }
}

#[test]
fn functions_of_two_values_with_broadcasting() {
    check("binary", &[2, 3], |g, x| {
        let column = g.mean(x, &[1]);
        let other = g.constant(&[4, 1, 3], &values(12, 5));
        let positive = g.square(x);
        let positive = g.offset(positive, 1.0);
        let a = g.mul(x, column);
        let b = g.div(a, positive);
        let c = g.div(column, positive);
        let d = g.sub(other, b);
        let e = g.add(d, c);
        weigh(g, e)
    });
}

#[test]
fn shapes() {
    check("shapes", &[2, 3, 4], |g, x| {
        let a = g.transpose(x, &[2, 0, 1]);
        let b = g.slice(a, &[1, 0, 1], &[2, 2, 2]);
        let c = g.pad(b, &[0, 1, 2], &[3, 3, 5]);
        let d = g.flip(c, &[0, 2]);
        let e = g.reshape(d, &[45]);
        let f = g.reshape(x, &[24]);
        let joined = g.concat(&[e, f], 0);
        let squares = g.square(joined);
        let sums = g.segment_sum(squares, &[9, 40, 20]);
        let back = g.segment_expand(sums, &[2, 3, 1]);
        let sine = g.sin(back);
        weigh(g, sine)
    });
}

#[test]
fn matrix_products() {
    check("matmul", &[2, 3, 4], |g, x| {
        let right = g.constant(&[4, 5], &values(20, 3));
        let left = g.constant(&[6, 3], &values(18, 4));
        let a = g.matmul(x, right);
        let b = g.matmul(left, a);
        let t = g.transpose(x, &[0, 2, 1]);
        let c = g.matmul(x, t);
        let c = g.sum_all(c);
        let b = weigh(g, b);
        g.add(b, c)
    });
}

#[test]
fn convolutions_of_every_kernel() {
    for (kh, kw, pads) in
        [(1, 1, [0; 4]), (3, 3, [1; 4]), (5, 5, [2; 4]), (3, 1, [0; 4]), (2, 3, [1, 0, 0, 2])]
    {
        let count = 4 * 3 * kh * kw;
        check("weights", &[4, 3, kh, kw], |g, w| {
            let x = g.constant(&[1, 3, 6, 5], &values(90, 9));
            let bias = g.slice(w, &[0; 4], &[4, 1, 1, 1]);
            let bias = g.reshape(bias, &[4]);
            let y = g.conv(x, w, Some(bias), pads);
            weigh(g, y)
        });
        check("input", &[1, 3, 6, 5], |g, x| {
            let w = g.constant(&[4, 3, kh, kw], &values(count, 8));
            let y = g.conv(x, w, None, pads);
            weigh(g, y)
        });
    }
}

#[test]
fn pixel_shuffles() {
    check("shuffle", &[1, 8, 3, 2], |g, x| {
        let y = g.depth_to_space(x, 2);
        let y = g.sin(y);
        let back = g.space_to_depth(y, 2);
        let back = g.add(back, x);
        weigh(g, back)
    });
}

#[test]
fn shares_along_the_last_axis() {
    check("softmax", &[2, 3, 4], |g, x| {
        let steep = g.scale(x, 3.0);
        let y = g.softmax(steep);
        let t = g.swap_last(y);
        let t = g.softmax(t);
        let y = g.matmul(y, t);
        weigh(g, y)
    });
}

#[test]
fn halves_and_doubles() {
    check("halve", &[1, 3, 4, 6], |g, x| {
        let y = g.halve(x);
        let y = g.sin(y);
        let y = g.double(y);
        let y = g.mul(y, x);
        weigh(g, y)
    });
}

#[test]
fn constant_planes_beside_an_image() {
    check("planes", &[1, 3, 5, 4], |g, x| {
        let ones = g.constant(&[1, 1, 5, 4], &[1.0; 20]);
        let image = g.concat(&[x, ones], 1);
        let w = g.mean(x, &[2, 3]);
        let w = g.reshape(w, &[3, 1, 1, 1]);
        let taps = g.constant(&[1, 4, 3, 3], &values(36, 4));
        let w = g.mul(w, taps);
        let y = g.conv_same(image, w, None);
        weigh(g, y)
    });
}

#[test]
fn rounding_passes_gradients_through() {
    let mut graph = Graph::new();
    let x = graph.input("x", &[3]);
    let rounded = graph.round_straight_through(x);
    let squares = graph.square(rounded);
    let (y, one) = (graph.sum_all(squares), graph.scalar(1.0));
    let gradient = graph.gradients(&[(y, one)], &[x])[0];
    let model = graph.to_onnx("round", &[("g", gradient)]);
    let runtime = Runtime::load(&RuntimeOptions { provider: Provider::Cpu, ..Default::default() })
        .expect("ONNX Runtime");
    let spec = TensorSpec { name: "round", inputs: &["x"], outputs: &["g"], states: &[] };
    let mut network = runtime.open_tensor_network(&spec, &model).expect("a graph that runs");
    network.input(0).copy_from_slice(&[0.5, 1.5, -2.4]);
    network.run().expect("a run");
    assert_eq!(network.output(0), [0.0, 4.0, -4.0]);
}

#[test]
fn noise_is_new_in_each_run_and_bounded() {
    let mut graph = Graph::new();
    let x = graph.input("x", &[1]);
    let noise = graph.noise(&[1000]);
    let y = graph.add(noise, x);
    let model = graph.to_onnx("noise", &[("y", y)]);
    let runtime = Runtime::load(&RuntimeOptions { provider: Provider::Cpu, ..Default::default() })
        .expect("ONNX Runtime");
    let spec = TensorSpec { name: "noise", inputs: &["x"], outputs: &["y"], states: &[] };
    let mut network = runtime.open_tensor_network(&spec, &model).expect("a graph that runs");
    network.run().expect("a run");
    let first = network.output(0).to_vec();
    network.run().expect("a run");
    assert_ne!(first, network.output(0));
    assert!(first.iter().all(|v| v.abs() <= 0.5));
    let mean = first.iter().sum::<f32>() / 1000.0;
    assert!(mean.abs() < 0.05, "{mean}");
}

#[test]
fn parts_side_by_side_and_parts_that_overlap() {
    check("split", &[2, 7], |g, x| {
        let (a, b) = (g.slice(x, &[0, 0], &[2, 3]), g.slice(x, &[0, 4], &[2, 2]));
        let (a, b) = (g.square(a), g.sin(b));
        let (a, b) = (weigh(g, a), weigh(g, b));
        g.add(a, b)
    });
    check("overlap", &[2, 7], |g, x| {
        let (a, b) = (g.slice(x, &[0, 0], &[2, 4]), g.slice(x, &[1, 2], &[1, 5]));
        let (a, b) = (g.square(a), g.sin(b));
        let (a, b) = (weigh(g, a), weigh(g, b));
        g.add(a, b)
    });
}

#[test]
fn depthwise_convolution() {
    let taps = values(3 * 2 * 3, 5);
    check("depthwise", &[2, 3, 6, 5], |g, x| {
        let w = g.constant(&[3, 1, 2, 3], &taps);
        let y = g.depthwise(x, w, [1, 0, 0, 2]);
        let y = g.square(y);
        weigh(g, y)
    });
}
