//! Small checkpoints in the layouts of the published codecs, for tests.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use siskin_model::bundle::Bundle;

use crate::{Error, Kind, Result, import};

/// Tensors of a checkpoint with values that are no pattern.
#[derive(Debug, Default)]
pub struct Tensors(Vec<(String, Vec<usize>, Vec<u8>)>);

impl Tensors {
    /// Adds a tensor of values up to `scale`, which follow from its name.
    pub fn add(&mut self, name: impl Into<String>, shape: &[usize], scale: f32) {
        let name = name.into();
        let seed = name.bytes().fold(1u32, |s, b| s.wrapping_mul(31).wrapping_add(b.into()));
        let mut state = seed | 1;
        let values = (0..shape.iter().product::<usize>()).flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (scale * (state as f32 / u32::MAX as f32 * 2.0 - 1.0)).to_le_bytes()
        });
        self.0.push((name, shape.to_vec(), values.collect()));
    }

    /// Adds weights and bias of a convolution.
    pub fn conv(&mut self, name: &str, shape: &[usize]) {
        let inputs: usize = shape[1..].iter().product();
        self.add(format!("{name}.weight"), shape, (1.0 / inputs as f32).sqrt());
        self.add(format!("{name}.bias"), &shape[..1], 0.05);
    }

    /// Writes the checkpoint as safetensors.
    ///
    /// # Errors
    /// What writing the file returns.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let views = self.0.iter().map(|(name, shape, data)| {
            TensorView::new(Dtype::F32, shape.clone(), data).map(|view| (name.as_str(), view))
        });
        let views = views.collect::<std::result::Result<Vec<_>, _>>().map_err(std::io::Error::other)?;
        std::fs::write(path, safetensors::serialize(views, None).map_err(std::io::Error::other)?)
    }

    /// Makes a bundle of the checkpoint in the folder `path`, beside which it writes the checkpoint.
    ///
    /// # Errors
    /// What writing the file, [`import`] and [`Imported::write`](crate::Imported::write) return.
    pub fn import(&self, kind: Kind, path: &Path) -> Result<Bundle> {
        let checkpoint = path.with_extension("safetensors");
        self.write(&checkpoint).map_err(|e| Error::bad_bundle(&checkpoint, e))?;
        import(kind, &checkpoint)?.write(path)
    }

    /// Sets the first value of the first tensor.
    pub fn set_first(&mut self, value: f32) {
        if let Some((_, _, data)) = self.0.first_mut() {
            data[..4].copy_from_slice(&value.to_le_bytes());
        }
    }
}

fn add_units(t: &mut Tensors, name: &str, first: usize, channels: usize, inner: usize) {
    for i in first..first + 3 {
        let name = format!("{name}.{i}.block");
        t.add(format!("{name}.0.alpha"), &[1, channels, 1], 1.0);
        t.conv(&format!("{name}.1"), &[channels, inner, 7]);
        t.add(format!("{name}.2.alpha"), &[1, channels, 1], 1.0);
        t.conv(&format!("{name}.3"), &[channels, channels, 1]);
    }
}

fn add_quantizers(t: &mut Tensors, count: usize, size: usize, dim: usize) {
    for i in 0..count {
        let name = format!("quantizer.quantizers.{i}");
        t.add(format!("{name}.codebook.weight"), &[size, 8], 1.0 / (i + 1) as f32);
        t.conv(&format!("{name}.in_proj"), &[8, dim, 1]);
        t.conv(&format!("{name}.out_proj"), &[dim, 8, 1]);
    }
}

/// DAC at 24 kHz, whose strides are not all even, with 4 filters.
pub fn small_dac() -> Tensors {
    let mut t = Tensors::default();
    let (mut c, strides) = (4, [2, 4, 5, 8]);
    t.conv("encoder.block.0", &[c, 1, 7]);
    for (i, s) in strides.into_iter().enumerate() {
        let name = format!("encoder.block.{}.block", i + 1);
        add_units(&mut t, &name, 0, c, c);
        t.add(format!("{name}.3.alpha"), &[1, c, 1], 1.0);
        t.conv(&format!("{name}.4"), &[2 * c, c, 2 * s]);
        c *= 2;
    }
    t.add("encoder.block.5.alpha", &[1, c, 1], 1.0);
    t.conv("encoder.block.6", &[16, c, 3]);
    t.conv("decoder.model.0", &[c, 16, 7]);
    for (i, s) in strides.into_iter().rev().enumerate() {
        let name = format!("decoder.model.{}.block", i + 1);
        t.add(format!("{name}.0.alpha"), &[1, c, 1], 1.0);
        t.add(format!("{name}.1.weight"), &[c, c / 2, 2 * s], 0.1);
        t.add(format!("{name}.1.bias"), &[c / 2], 0.05);
        c /= 2;
        add_units(&mut t, &name, 2, c, c);
    }
    t.add("decoder.model.5.alpha", &[1, c, 1], 1.0);
    t.conv("decoder.model.6", &[1, c, 7]);
    add_quantizers(&mut t, 32, 1024, 16);
    t
}

/// SNAC at 24 kHz with 4 filters.
pub fn small_snac() -> Tensors {
    let mut t = Tensors::default();
    let (mut c, strides) = (4, [2, 4, 8, 8]);
    t.conv("encoder.block.0", &[c, 1, 7]);
    for (i, s) in strides.into_iter().enumerate() {
        let name = format!("encoder.block.{}.block", i + 1);
        add_units(&mut t, &name, 0, c, 1);
        t.add(format!("{name}.3.alpha"), &[1, c, 1], 1.0);
        t.conv(&format!("{name}.4"), &[2 * c, c, 2 * s]);
        c *= 2;
    }
    t.conv("encoder.block.5", &[c, 1, 7]);
    t.conv("decoder.model.0", &[c, 1, 7]);
    t.conv("decoder.model.1", &[32, c, 1]);
    let mut d = 32;
    for (i, s) in strides.into_iter().rev().enumerate() {
        let name = format!("decoder.model.{}.block", i + 2);
        t.add(format!("{name}.0.alpha"), &[1, d, 1], 1.0);
        t.add(format!("{name}.1.weight"), &[d, d / 2, 2 * s], 0.1);
        t.add(format!("{name}.1.bias"), &[d / 2], 0.05);
        d /= 2;
        t.add(format!("{name}.2.linear.weight"), &[d, d, 1], 0.1);
        add_units(&mut t, &name, 3, d, 1);
    }
    t.add("decoder.model.6.alpha", &[1, d, 1], 1.0);
    t.conv("decoder.model.7", &[1, d, 7]);
    add_quantizers(&mut t, 3, 4096, c);
    t
}

/// EnCodec at 24 kHz has one size.
pub fn small_encodec() -> Tensors {
    encodec(32, 1, false)
}

/// EnCodec at 48 kHz in stereo, with 2 filters.
pub fn small_encodec_stereo() -> Tensors {
    encodec(2, 2, true)
}

fn encodec(filters: usize, channels: usize, has_norms: bool) -> Tensors {
    let mut t = Tensors::default();
    let norm = |t: &mut Tensors, name: &str, c: usize| {
        if has_norms {
            t.add(format!("{name}.norm.weight"), &[c], 1.0);
            t.add(format!("{name}.norm.bias"), &[c], 0.1);
        }
    };
    let conv = |t: &mut Tensors, name: &str, shape: &[usize]| {
        t.conv(&format!("{name}.conv"), shape);
        norm(t, name, shape[0]);
    };
    let residual = |t: &mut Tensors, name: &str, c: usize| {
        conv(t, &format!("{name}.block.1"), &[c / 2, c, 3]);
        conv(t, &format!("{name}.block.3"), &[c, c / 2, 1]);
        conv(t, &format!("{name}.shortcut"), &[c, c, 1]);
    };
    let (mut c, strides) = (filters, [2, 4, 5, 8]);
    conv(&mut t, "encoder.layers.0", &[c, channels, 7]);
    for (i, s) in strides.into_iter().enumerate() {
        residual(&mut t, &format!("encoder.layers.{}", 3 * i + 1), c);
        conv(&mut t, &format!("encoder.layers.{}", 3 * i + 3), &[2 * c, c, 2 * s]);
        c *= 2;
    }
    for name in ["encoder.layers.13", "decoder.layers.1"] {
        for i in 0..2 {
            for part in ["weight_ih", "weight_hh"] {
                t.add(format!("{name}.lstm.{part}_l{i}"), &[4 * c, c], 0.04);
            }
            for part in ["bias_ih", "bias_hh"] {
                t.add(format!("{name}.lstm.{part}_l{i}"), &[4 * c], 0.04);
            }
        }
    }
    conv(&mut t, "encoder.layers.15", &[128, c, 7]);
    conv(&mut t, "decoder.layers.0", &[c, 128, 7]);
    for (i, s) in strides.into_iter().rev().enumerate() {
        let name = format!("decoder.layers.{}", 3 * i + 3);
        t.add(format!("{name}.conv.weight"), &[c, c / 2, 2 * s], 0.05);
        t.add(format!("{name}.conv.bias"), &[c / 2], 0.05);
        c /= 2;
        norm(&mut t, &name, c);
        residual(&mut t, &format!("decoder.layers.{}", 3 * i + 4), c);
    }
    conv(&mut t, "decoder.layers.15", &[channels, filters, 7]);
    for i in 0..4 {
        t.add(format!("quantizer.layers.{i}.codebook.embed"), &[1024, 128], 0.5 / (i + 1) as f32);
    }
    t
}
