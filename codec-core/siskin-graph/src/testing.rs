//! The backward pass against finite differences, through ONNX Runtime: for the tests of whoever builds graphs.

use siskin_model::runtime::{Provider, Runtime, RuntimeOptions, TensorSpec};

use crate::{Graph, Var};

/// Values in -1..1 without a pattern.
pub fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Compares the gradient of `loss(x)` with central differences along a few directions.
///
/// # Panics
/// Where they differ.
pub fn check(name: &str, shape: &[usize], loss: impl Fn(&mut Graph, Var) -> Var) {
    let mut graph = Graph::new();
    let x = graph.input("x", shape);
    let y = loss(&mut graph, x);
    assert!(graph.shape(y).is_empty(), "{name}: the loss is a scalar");
    let one = graph.scalar(1.0);
    let gradient = graph.gradients(&[(y, one)], &[x])[0];
    assert_eq!(graph.shape(gradient), shape, "{name}");
    let model = graph.to_onnx(name, &[("y", y), ("g", gradient)]);
    let runtime = Runtime::load(&RuntimeOptions { provider: Provider::Cpu, ..Default::default() })
        .expect("ONNX Runtime");
    let spec = TensorSpec { name, inputs: &["x"], outputs: &["y", "g"], states: &[] };
    let mut network = runtime.open_tensor_network(&spec, &model).expect("a graph that runs");
    let count = shape.iter().product();
    let at = values(count, 1);
    network.input(0).copy_from_slice(&at);
    network.run().expect("a run");
    let gradient = network.output(1).to_vec();
    // Smaller steps lose the difference in the rounding of 32-bit floats, larger ones in the curvature.
    let step = 1e-2f32;
    // Along whole directions: three of them check all elements at once, where differences for each element would take
    // thousands of runs.
    for direction in 2..5 {
        let along = values(count, direction);
        let mut side = |sign: f32| {
            let moved = at.iter().zip(&along).map(|(a, d)| a + sign * step * d);
            network.input(0).iter_mut().zip(moved).for_each(|(x, v)| *x = v);
            network.run().expect("a run");
            f64::from(network.output(0)[0])
        };
        let numeric = (side(1.0) - side(-1.0)) / (2.0 * f64::from(step));
        let exact: f64 = gradient.iter().zip(&along).map(|(g, d)| f64::from(g * d)).sum();
        let scale = gradient.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt().max(1e-3);
        assert!((numeric - exact).abs() < 0.01 * scale, "{name}: {exact} against {numeric}, norm {scale}");
    }
}

/// A loss in which each element of `y` counts differently.
pub fn weigh(g: &mut Graph, y: Var) -> Var {
    let shape = g.shape(y).to_vec();
    let weights = g.constant(&shape, &values(shape.iter().product(), 77));
    let product = g.mul(y, weights);
    g.sum_all(product)
}
