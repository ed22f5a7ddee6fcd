//! From symbols to frames: motion compensation and the decoder network. Encoder and decoder share it, so that the encoder
//! predicts from the very frames that a decoder has.

use siskin_media::{Size, VideoFrame, VideoFrameView};
use siskin_model::bundle::VideoBundle;
use siskin_model::runtime::{Provider, Runtime, TensorNetwork, TensorSpec};

use super::latents::Neighbors;
use super::motion::MotionField;
use super::packing::{block_grid, pack_frame, padded_frame, unpack_frame};
use super::reference::ReferenceFrame;
use super::symbols::SymbolState;
use super::{BLOCK, CHANNELS};
use crate::{Error, Result};

/// Numbers that tell the networks what is asked of them.
const CONDITIONS: usize = 4;

/// The codec state on the side of the samples.
pub(super) struct Reconstructor {
    bundle: VideoBundle,
    /// The visible part of frames.
    size: Size,
    pub(super) reference: ReferenceFrame,
    /// The reference frame after motion compensation, padded.
    prediction: VideoFrame,
    /// The frame as decoded, padded.
    pub(super) frame: VideoFrame,
    network: Box<dyn TensorNetwork>,
    /// Frames since the last keyframe.
    index: u32,
}

/// The sizes of the tensors of a padded frame.
fn tensor_sizes(frame: &VideoFrame) -> [(&'static str, usize); 4] {
    let (columns, rows) = block_grid(frame);
    [("rows", rows), ("columns", columns), ("fine_rows", 2 * rows), ("fine_columns", 2 * columns)]
}

impl Reconstructor {
    /// Opens the decoder network for frames of a stream.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::BadBundle`].
    pub(super) fn new(symbols: &SymbolState, runtime: &Runtime) -> Result<Self> {
        let frame = padded_frame(symbols.size);
        let spec = TensorSpec {
            name: "real-time video decoder",
            // Inputs are addressed by their index in this list from here on.
            inputs: &["latents", "prediction", "condition", "size", "mask"],
            outputs: &["picture"],
            states: &[],
        };
        let bundle = &symbols.bundle;
        let graph = &bundle.file_bytes(&bundle.manifest().decoder)?;
        // Fixed sizes let ONNX Runtime plan its memory once for all frames.
        let mut network = runtime.open_sized_tensor_network(&spec, &tensor_sizes(&frame), graph)?;
        let values = symbols.latents.len();
        let found = [network.input(0).len(), network.input(2).len(), network.output(0).len()];
        // The graph comes from a bundle on disk: one of another layout must be an error here and no panic in a copy
        // below.
        check_tensors(found, [values, CONDITIONS, values], spec.name)?;
        Ok(Self {
            bundle: bundle.clone(),
            size: symbols.size,
            reference: ReferenceFrame::new(&frame),
            prediction: frame.clone(),
            frame,
            network,
            index: 0,
        })
    }

    /// Whether it is for the streams of a state: same bundle, same size.
    pub(super) fn fits(&self, symbols: &SymbolState) -> bool {
        self.size == symbols.size && self.bundle.manifest().id() == symbols.bundle.manifest().id()
    }

    /// The encoder network for the same frames: frame, prediction, condition and fineness to latents.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::BadBundle`].
    pub(super) fn open_encoder_network(&self, runtime: &Runtime) -> Result<Box<dyn TensorNetwork>> {
        let spec = TensorSpec {
            name: "real-time video encoder",
            inputs: &["picture", "prediction", "condition", "fineness"],
            outputs: &["latents"],
            states: &[],
        };
        let graph = &self.bundle.file_bytes(&self.bundle.manifest().encoder)?;
        let mut network = runtime.open_sized_tensor_network(&spec, &tensor_sizes(&self.frame), graph)?;
        let (columns, rows) = block_grid(&self.frame);
        let values = columns * rows * CHANNELS;
        let found = [network.input(0).len(), network.input(2).len(), network.output(0).len()];
        check_tensors(found, [values, CONDITIONS, values], spec.name)?;
        Ok(network)
    }

    /// Begins a frame.
    pub(super) fn start_frame(&mut self, is_keyframe: bool) {
        // Never 0 again before the next keyframe, since 0 means keyframe.
        self.index = if is_keyframe { 0 } else { self.index.saturating_add(1) };
    }

    fn is_keyframe(&self) -> bool {
        self.index == 0
    }

    /// What tells the networks the quality and how long the last keyframe is ago.
    pub(super) fn condition(&self, quality: u8) -> [f32; CONDITIONS] {
        let manifest = self.bundle.manifest();
        // Centered, and squared beside it, so that the first layer can bend its answer over the range.
        let q = 2.0 * f32::from(quality) / f32::from(manifest.qualities) - 1.0;
        let latest = u32::from(manifest.latest);
        let key = if self.is_keyframe() { 1.0 } else { 0.0 };
        // Training has seen runs of a few frames only, so all beyond `latest` must look alike to the network.
        [q, q * q, key, self.index.min(latest) as f32 / latest as f32]
    }

    /// Moves the reference frame into place as the network's `prediction`; of keyframes that is 0.
    pub(super) fn predict_frame(&mut self, motion: &MotionField) -> &[f32] {
        let is_keyframe = self.is_keyframe();
        let tensor = self.network.input(1);
        if is_keyframe {
            tensor.fill(0.0);
        } else {
            self.reference.predict_frame(motion, &mut self.prediction);
            pack_frame(&self.prediction, tensor);
        }
        tensor
    }

    /// Makes the frame of latents and prediction, and the reference of the next one.
    ///
    /// # Errors
    /// [`Error::Network`]; the frame is then the one before.
    pub(super) fn reconstruct_frame(&mut self, symbols: &SymbolState, quality: u8) -> Result<()> {
        self.synthesize_frame(&symbols.latents, &symbols.neighbors, quality)?;
        self.reference.update_from(&self.frame);
        Ok(())
    }

    /// Makes the frame of latents, 96 per block, and prediction; `neighbors` says which blocks have latents.
    ///
    /// # Errors
    /// As for [`Reconstructor::reconstruct_frame`].
    pub(super) fn synthesize_frame(
        &mut self,
        latents: &[i16],
        neighbors: &Neighbors,
        quality: u8,
    ) -> Result<()> {
        let condition = self.condition(quality);
        let blocks = latents.len() / CHANNELS;
        let tensor = self.network.input(0);
        for (block, own) in latents.chunks_exact(CHANNELS).enumerate() {
            own.iter().enumerate().for_each(|(c, &v)| tensor[c * blocks + block] = f32::from(v));
        }
        self.network.input(2).copy_from_slice(&condition);
        self.network.input(3)[0] = self.bundle.manifest().step(quality) / 255.0;
        let columns = self.frame.size().width() / BLOCK;
        let (mask, is_keyframe) = (self.network.input(4), self.index == 0);
        // Where nothing is coded the prediction passes unchanged: otherwise the network would sharpen still areas
        // frame after frame.
        mask.fill(if is_keyframe { 1.0 } else { 0.0 });
        if !is_keyframe {
            neighbors.for_each_active(|x, y| {
                // The mask has a value per 4x4 samples, as the finer half of the network has.
                for row in [2 * y, 2 * y + 1] {
                    mask[row * 2 * columns + 2 * x..][..2].fill(1.0);
                }
            });
        }
        self.network.run()?;
        // After the run, so that a failure leaves the frame of before.
        unpack_frame(self.network.output(0), &mut self.frame);
        Ok(())
    }

    /// The visible part of the frame as decoded.
    pub(super) fn visible_frame(&self) -> VideoFrameView<'_> {
        self.frame.view().crop(self.size)
    }

    /// What runs the decoder network.
    pub(super) fn provider(&self) -> Provider {
        self.network.provider()
    }
}

fn check_tensors(found: [usize; 3], expected: [usize; 3], name: &str) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::network(name, format!("tensors of {found:?} values, not {expected:?}")))
}
