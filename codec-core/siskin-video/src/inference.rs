//! Running the network of a fitted group: its graph, its inputs for a frame, its output as a frame.

use siskin_bitstream::VideoHeader;
use siskin_graph::{Graph, Var};
use siskin_media::{PixelFormat, Size, VideoFrame};
use siskin_model::runtime::{Runtime, TensorNetwork, TensorSpec};

use crate::Result;
use crate::arch::{Architecture, Modulation};
use crate::encoding::{encode_grid, encode_time};
use crate::network::{Purpose, add_condition, build_network, condition_names, needs_time};

/// What the network of a group is called in errors.
pub const NAME: &str = "video decoder";

/// Converts planes of 0..1, red, green and blue, of `size` to 8-bit RGB, replacing `out`.
pub fn interleave_planes(planes: &[f32], size: Size, out: &mut VideoFrame) {
    let pixels = size.pixel_count();
    out.reshape(PixelFormat::Rgb, size);
    for (i, pixel) in out.data_mut().as_chunks_mut::<3>().0.iter_mut().enumerate() {
        for (c, value) in pixel.iter_mut().enumerate() {
            // The last layer is in 0..1, and the cast saturates what rounding errors add.
            *value = (planes[c * pixels + i] * 255.0).round() as u8;
        }
    }
}

/// The ONNX graph of a network with constant parameters, which a runtime packs once; it gives the cropped frame.
pub fn build_model(arch: &Architecture, parameters: &[f32], header: &VideoHeader) -> Vec<u8> {
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
    let input = add_condition(&mut g, arch);
    let picture = build_network(&mut g, arch, Purpose::Decoding, &tensors, input);
    let size = [1, 3, header.height as usize, header.width as usize];
    // Cropped inside the graph: the runtime copies out less.
    let picture = g.slice(picture, &[0; 4], &size);
    g.to_onnx("decoder", &[("picture", picture)])
}

/// Opens a network whose graph [`build_model`] made.
pub fn open_network(runtime: &Runtime, arch: &Architecture, model: &[u8]) -> Result<Box<dyn TensorNetwork>> {
    let inputs = condition_names(arch);
    let spec = TensorSpec { name: NAME, inputs: &inputs, outputs: &["picture"], states: &[] };
    runtime.open_tensor_network(&spec, model)
}

/// Runs the network of a group for frame `index` of `frames`.
pub fn run_network(
    network: &mut dyn TensorNetwork,
    arch: &Architecture,
    (index, frames): (usize, usize),
    embedding: &[f32],
) -> Result<()> {
    set_condition(arch, network, index, frames);
    if !embedding.is_empty() {
        // The embedding is always the last condition.
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
