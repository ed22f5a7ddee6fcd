//! Each form of the network: its gradient against finite differences, and what it computes for fitting against what it
//! computes for decoding.

use siskin_graph::testing::{check, values, weigh};
use siskin_graph::{Graph, Var};
use siskin_model::runtime::{Provider, Runtime, RuntimeOptions, TensorSpec};
use siskin_video::arch::{Architecture, FREQUENCIES, Kind, Modulation, encode_grid, encode_time};
use siskin_video::network::{Condition, Purpose, build_network};

const FORMS: [(&str, Kind, Modulation); 5] = [
    ("HNeRV-Boost", Kind::Content(2), Modulation::Affine),
    ("HNeRV with grids", Kind::Content(2), Modulation::Grid(3)),
    ("NeRV-Boost", Kind::Index, Modulation::Affine),
    ("E-NeRV-Boost", Kind::Disentangled(8), Modulation::Affine),
    ("E-NeRV with grids", Kind::Disentangled(8), Modulation::Grid(3)),
];

fn architecture(kind: Kind, modulation: Modulation) -> Architecture {
    Architecture::for_budget(kind, modulation, siskin_media::Size::new(16, 12).expect("a size"), 5, 2500)
}

/// The network over one vector of parameters, for the third of five frames.
fn build(g: &mut Graph, arch: &Architecture, purpose: Purpose, parameters: Var) -> Var {
    let mut offset = 0;
    let tensors: Vec<Var> = arch
        .layout()
        .tensors
        .iter()
        .map(|t| {
            let part = g.slice(parameters, &[offset], &[t.count()]);
            offset += t.count();
            g.reshape(part, &t.shape)
        })
        .collect();
    let mut time = vec![0.0; 2 * FREQUENCIES];
    encode_time(2, 5, &mut time);
    let mut weights = [0.0; 3];
    encode_grid(2, 5, &mut weights);
    let shape = [1, 2, arch.base.0.into(), arch.base.1.into()];
    let input = Condition {
        time: Some(g.constant(&[2 * FREQUENCIES, 1], &time)),
        grid: matches!(arch.modulation, Modulation::Grid(_)).then(|| g.constant(&[1, 3], &weights)),
        embedding: (arch.embedding() > 0).then(|| g.constant(&shape, &values(arch.embedding(), 6))),
    };
    build_network(g, arch, purpose, &tensors, input)
}

#[test]
fn gradients_of_every_form() {
    for (name, kind, modulation) in FORMS {
        let arch = architecture(kind, modulation);
        check(name, &[arch.parameters()], |g, x| {
            let small = g.scale(x, 0.15);
            let picture = build(g, &arch, Purpose::Fitting, small);
            weigh(g, picture)
        });
    }
}

#[test]
fn fitting_and_decoding_compute_the_same() {
    let runtime = Runtime::load(&RuntimeOptions { provider: Provider::Cpu, ..Default::default() })
        .expect("ONNX Runtime");
    for (name, kind, modulation) in FORMS {
        let arch = architecture(kind, modulation);
        let mut g = Graph::new();
        let x = g.input("x", &[arch.parameters()]);
        let pictures = [Purpose::Fitting, Purpose::Decoding].map(|p| build(&mut g, &arch, p, x));
        let model = g.to_onnx(name, &[("fitting", pictures[0]), ("decoding", pictures[1])]);
        let spec = TensorSpec { name, inputs: &["x"], outputs: &["fitting", "decoding"], states: &[] };
        let mut network = runtime.open_tensor_network(&spec, &model).expect("a graph that runs");
        let parameters = values(arch.parameters(), 3);
        network.input(0).iter_mut().zip(parameters).for_each(|(x, v)| *x = 0.3 * v);
        network.run().expect("a run");
        let (a, b) = (network.output(0), network.output(1));
        let most = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let spread = a.iter().fold(0.0, |m: f32, v| m.max((v - 0.5).abs()));
        assert!(most < 1e-4 && spread > 0.05, "{name}: {most} apart, spread {spread}");
    }
}
