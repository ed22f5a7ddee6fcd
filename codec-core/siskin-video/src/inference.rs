//! Running the network of a fitted group: its graph, its inputs for a frame, its output as a frame.

use siskin_bitstream::VideoHeader;
use siskin_graph::{Graph, Var};
use siskin_model::runtime::{Runtime, TensorNetwork, TensorSpec};

use crate::Result;
use crate::arch::{Architecture, Modulation, encode_grid, encode_time};
use crate::network::{Purpose, condition, condition_names, forward, needs_time};

/// What the network of a group is called in errors.
pub const NAME: &str = "video decoder";

/// Planes of 0..1, red, green and blue, to interleaved bytes, replacing `out`.
pub fn interleave(planes: &[f32], out: &mut Vec<u8>) {
    let pixels = planes.len() / 3;
    out.clear();
    out.resize(3 * pixels, 0);
    for (i, pixel) in out.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        for (c, value) in pixel.iter_mut().enumerate() {
            *value = (planes[c * pixels + i] * 255.0).round() as u8;
        }
    }
}

/// The graph of a network with constant parameters, which a runtime packs once; it gives the cropped picture.
pub fn model(arch: &Architecture, parameters: &[f32], header: &VideoHeader) -> Vec<u8> {
    let mut g = Graph::new();
    let mut offset = 0;
    let tensors: Vec<Var> = arch
        .layout()
        .tensors
        .iter()
        .map(|t| {
            let part = &parameters[offset..offset + t.count()];
            offset += t.count();
            g.constant(&t.shape, part)
        })
        .collect();
    let input = condition(&mut g, arch);
    let picture = forward(&mut g, arch, Purpose::Decoding, &tensors, input);
    let size = [1, 3, header.height as usize, header.width as usize];
    let picture = g.slice(picture, &[0; 4], &size);
    g.to_onnx("decoder", &[("picture", picture)])
}

/// Opens a network whose graph [`model`] made.
pub fn open(runtime: &Runtime, arch: &Architecture, model: &[u8]) -> Result<Box<dyn TensorNetwork>> {
    let inputs = condition_names(arch);
    let spec = TensorSpec { name: NAME, inputs: &inputs, outputs: &["picture"], states: &[] };
    runtime.tensor_network(&spec, model)
}

/// Runs the network of a group for frame `index` of `frames`.
pub fn run(
    network: &mut dyn TensorNetwork,
    arch: &Architecture,
    (index, frames): (usize, usize),
    embedding: &[f32],
) -> Result<()> {
    set_condition(arch, network, index, frames);
    if !embedding.is_empty() {
        network.input(condition_names(arch).len() - 1).copy_from_slice(embedding);
    }
    network.run()
}

/// Sets the inputs that stand for the time of frame `index` of `count`.
pub fn set_condition(arch: &Architecture, network: &mut dyn TensorNetwork, index: usize, count: usize) {
    let mut place = 0;
    if needs_time(arch) {
        encode_time(index, count, network.input(place));
        place += 1;
    }
    if matches!(arch.modulation, Modulation::Grid(_)) {
        encode_grid(index, count, network.input(place));
    }
}
