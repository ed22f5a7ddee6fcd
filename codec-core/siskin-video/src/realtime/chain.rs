//! What encoder and decoder share: the state that pictures of a chain hand on, and the decoder network.

use crate::{Error, Limits, Result};
use siskin_bitstream::VideoHeader;
use siskin_entropy::binary::BitCoder;
use siskin_model::bundle::VideoBundle;
use siskin_model::runtime::{Provider, Runtime, TensorNetwork, TensorSpec};

use super::contexts::{self, Contexts};
use super::latents::{self, Neighbours};
use super::picture::Picture;
use super::plane::Reference;
use super::vectors::{self, Motion};
use super::{BLOCK, CHANNELS};

/// Numbers that tell the networks what is asked of them.
const CONDITIONS: usize = 4;

/// State of a chain of pictures.
pub(super) struct Chain {
    pub(super) bundle: VideoBundle,
    /// Columns and rows of the visible picture.
    pub(super) size: (usize, usize),
    start: Vec<u16>,
    pub(super) contexts: Contexts,
    pub(super) around: Neighbours,
    pub(super) motion: Motion,
    pub(super) reference: Reference,
    /// The picture before, moved into place.
    prediction: Picture,
    /// The picture as decoded.
    pub(super) picture: Picture,
    /// 96 a block.
    pub(super) latents: Vec<i16>,
    network: Box<dyn TensorNetwork>,
    /// Pictures since the last one that stands alone.
    index: u32,
}

/// The sizes of the tensors of pictures.
fn sizes(picture: &Picture) -> [(&'static str, usize); 4] {
    let (columns, rows) = (picture.width / BLOCK, picture.height / BLOCK);
    [("rows", rows), ("columns", columns), ("fine_rows", 2 * rows), ("fine_columns", 2 * columns)]
}

impl Chain {
    /// Opens the decoder network for pictures of `header`'s size.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a size that is not coded, [`Error::Network`], [`Error::BadBundle`].
    pub(super) fn new(
        bundle: &VideoBundle,
        runtime: &Runtime,
        header: &VideoHeader,
        limits: &Limits,
    ) -> Result<Self> {
        super::check_size(header, limits)?;
        let start = starts(bundle)?;
        let size = (header.width as usize, header.height as usize);
        let picture = Picture::new(size.0, size.1);
        let (columns, rows) = (picture.width / BLOCK, picture.height / BLOCK);
        let spec = TensorSpec {
            name: "real-time video decoder",
            inputs: &["latents", "prediction", "condition", "size", "mask"],
            outputs: &["picture"],
            states: &[],
        };
        let graph = bundle.file(&bundle.manifest().decoder)?;
        let mut network = runtime.sized_tensor_network(&spec, &sizes(&picture), graph)?;
        let blocks = columns * rows;
        let found = [network.input(0).len(), network.input(2).len(), network.output(0).len()];
        check(found, [CHANNELS * blocks, CONDITIONS, CHANNELS * blocks], spec.name)?;
        Ok(Self {
            bundle: bundle.clone(),
            size,
            contexts: Contexts::new(&start),
            start,
            around: Neighbours::new(columns, rows),
            motion: Motion::new(columns, rows),
            reference: Reference::new(&picture),
            prediction: picture.clone(),
            latents: vec![0; blocks * CHANNELS],
            picture,
            network,
            index: 0,
        })
    }

    /// The encoder network for the same pictures: picture, prediction, condition and fineness to latents.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::BadBundle`].
    pub(super) fn encoder_network(&self, runtime: &Runtime) -> Result<Box<dyn TensorNetwork>> {
        let spec = TensorSpec {
            name: "real-time video encoder",
            inputs: &["picture", "prediction", "condition", "fineness"],
            outputs: &["latents"],
            states: &[],
        };
        let graph = self.bundle.file(&self.bundle.manifest().encoder)?;
        let mut network = runtime.sized_tensor_network(&spec, &sizes(&self.picture), graph)?;
        let found = [network.input(0).len(), network.input(2).len(), network.output(0).len()];
        check(found, [self.latents.len(), CONDITIONS, self.latents.len()], spec.name)?;
        Ok(network)
    }

    /// Begins a picture: how the chain stands, and decisions begin again where a picture stands alone.
    pub(super) fn begin(&mut self, key: bool) {
        if key {
            self.index = 0;
            self.contexts.reset(&self.start);
            self.motion.clear();
        } else {
            self.index = self.index.saturating_add(1);
        }
    }

    /// Codes or reads motion (of predicted pictures) and latents.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for what no encoder writes.
    pub(super) fn code_motion<C: BitCoder>(&mut self, coder: &mut C) -> Result<()> {
        vectors::code(coder, &mut self.contexts, &mut self.motion)
    }

    /// As [`Chain::code_motion`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn code_latents<C: BitCoder>(&mut self, coder: &mut C, key: bool) -> Result<()> {
        latents::code(coder, &mut self.contexts, &mut self.around, key, &mut self.latents)
    }

    /// Where the decisions stand.
    pub(super) fn probabilities(&self) -> impl Iterator<Item = u16> {
        self.contexts.probabilities()
    }

    /// What tells the networks the quality and how the chain stands.
    pub(super) fn condition(&self, quality: u8) -> [f32; CONDITIONS] {
        let manifest = self.bundle.manifest();
        let q = 2.0 * f32::from(quality) / f32::from(manifest.qualities) - 1.0;
        let latest = u32::from(manifest.latest);
        let key = if self.index == 0 { 1.0 } else { 0.0 };
        [q, q * q, key, self.index.min(latest) as f32 / latest as f32]
    }

    /// Moves the picture before into place as the network's `prediction`.
    pub(super) fn predict(&mut self, key: bool) -> &[f32] {
        let tensor = self.network.input(1);
        if key {
            tensor.fill(0.0);
        } else {
            self.reference.predict(&self.motion, &mut self.prediction);
            self.prediction.pack(tensor);
        }
        tensor
    }

    /// Makes the picture of latents and prediction, and the reference of the next one.
    ///
    /// # Errors
    /// [`Error::Network`]; the picture is then the one before.
    pub(super) fn reconstruct(&mut self, quality: u8) -> Result<()> {
        self.synthesise(quality, None)?;
        self.reference.take(&self.picture);
        Ok(())
    }

    /// Makes the picture of latents and prediction; `around` says which blocks have latents where they have not been coded
    /// yet.
    ///
    /// # Errors
    /// As for [`Chain::reconstruct`].
    pub(super) fn synthesise(&mut self, quality: u8, around: Option<&Neighbours>) -> Result<()> {
        let condition = self.condition(quality);
        let blocks = self.latents.len() / CHANNELS;
        let tensor = self.network.input(0);
        for (block, own) in self.latents.chunks_exact(CHANNELS).enumerate() {
            own.iter().enumerate().for_each(|(c, &v)| tensor[c * blocks + block] = f32::from(v));
        }
        self.network.input(2).copy_from_slice(&condition);
        self.network.input(3)[0] = self.bundle.manifest().step(quality) / 255.0;
        let columns = self.picture.width / BLOCK;
        let around = around.unwrap_or(&self.around);
        let (mask, key) = (self.network.input(4), self.index == 0);
        mask.fill(if key { 1.0 } else { 0.0 });
        if !key {
            around.spread(columns, |x, y| {
                for row in [2 * y, 2 * y + 1] {
                    mask[row * 2 * columns + 2 * x..][..2].fill(1.0);
                }
            });
        }
        self.network.run()?;
        self.picture.unpack(self.network.output(0));
        Ok(())
    }

    /// What runs the decoder network.
    pub(super) fn provider(&self) -> Provider {
        self.network.provider()
    }
}

fn check(found: [usize; 3], expected: [usize; 3], name: &str) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::network(name, format!("tensors of {found:?} values, not {expected:?}")))
}

/// The probabilities at which decisions begin.
pub(super) fn starts(bundle: &VideoBundle) -> Result<Vec<u16>> {
    let data = bundle.file(&bundle.manifest().contexts)?;
    let (pairs, rest) = data.as_chunks::<2>();
    if pairs.len() != contexts::COUNT || !rest.is_empty() {
        let reason = format!("contexts of {} bytes, not {}", data.len(), 2 * contexts::COUNT);
        return Err(Error::bad_bundle(bundle.path(), reason));
    }
    Ok(pairs.iter().map(|&p| u16::from_le_bytes(p)).collect())
}
