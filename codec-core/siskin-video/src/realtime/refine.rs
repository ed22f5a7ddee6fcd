//! Refinement of a picture's latents in steps.
//!
//! The first step chooses the integers by rate and distortion ([`Chooser`]). Each further one is analysis by synthesis: the
//! encoder network sees what is left between the picture and the decoded one, the latents go half the way to its answer
//! and are chosen again, each block keeps whichever of both is cheaper as decoded, and the picture keeps what is cheaper
//! as a whole. Decoders know nothing of it.

use crate::Result;
use siskin_model::runtime::TensorNetwork;

use super::chain::Chain;
use super::choose::Chooser;
use super::picture::Picture;
use super::{BLOCK, CHANNELS};

/// What a bit is worth, in squared steps: in pictures that stand alone, on which many others are built, and in others.
const WEIGHTS: [f32; 2] = [0.09, 0.15];
/// How far latents go to what the encoder network says of the decoded picture.
const GAIN: f32 = 0.5;

/// Refines latents.
#[derive(Debug, Clone)]
pub(super) struct Refiner {
    chooser: Chooser,
    /// Latents as the encoder network gave them, and as they are chosen next, `[96, blocks]`.
    first: Vec<f32>,
    wanted: Vec<f32>,
    /// The best so far: 96 a block, the picture they make, and the cost of each block.
    latents: Vec<i16>,
    picture: Picture,
    costs: Vec<f32>,
    /// The cost of each block of another choice.
    others: Vec<f32>,
}

/// A picture that is refined.
pub(super) struct Task<'a> {
    pub(super) source: &'a Picture,
    /// The encoder network, which has just run.
    pub(super) network: &'a mut dyn TensorNetwork,
    pub(super) key: bool,
    pub(super) quality: u8,
    pub(super) steps: u32,
}

impl Refiner {
    /// For the pictures of a chain.
    pub(super) fn new(chain: &Chain) -> Self {
        Self {
            chooser: Chooser::new(&chain.contexts, &chain.around),
            first: Vec::new(),
            wanted: Vec::new(),
            latents: Vec::new(),
            picture: chain.picture.clone(),
            costs: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Sets the latents of `chain`. Its picture is then that of some choice or other.
    ///
    /// # Errors
    /// [`crate::Error::Network`].
    pub(super) fn run(&mut self, chain: &mut Chain, task: Task<'_>) -> Result<()> {
        let Task { source, network, key, quality, steps } = task;
        let weight = WEIGHTS[usize::from(!key)];
        self.first.clear();
        self.first.extend_from_slice(network.output(0));
        self.chooser.choose(
            (&chain.contexts, &chain.around),
            key,
            &self.first,
            weight,
            &mut chain.latents,
        )?;
        if steps <= 1 {
            return Ok(());
        }
        let step = chain.bundle.manifest().step(quality);
        chain.synthesise(quality, Some(self.chooser.around()))?;
        costs(source, &chain.picture, step, (self.chooser.block_bits(), weight), &mut self.costs);
        self.keep(chain);
        for _ in 1..steps {
            self.picture.pack(network.input(1));
            network.run()?;
            self.approach(network.output(0));
            self.chooser.choose(
                (&chain.contexts, &chain.around),
                key,
                &self.wanted,
                weight,
                &mut chain.latents,
            )?;
            chain.synthesise(quality, Some(self.chooser.around()))?;
            costs(source, &chain.picture, step, (self.chooser.block_bits(), weight), &mut self.others);
            for (block, (own, other)) in self.costs.iter().zip(&self.others).enumerate() {
                if own <= other {
                    let place = block * CHANNELS..(block + 1) * CHANNELS;
                    chain.latents[place.clone()].copy_from_slice(&self.latents[place]);
                }
            }
            // What blocks cost depends on the others, so the mixture counts as a whole.
            self.chooser.count((&chain.contexts, &chain.around), key, &chain.latents)?;
            chain.synthesise(quality, Some(self.chooser.around()))?;
            costs(source, &chain.picture, step, (self.chooser.block_bits(), weight), &mut self.others);
            if sum(&self.others) < sum(&self.costs) {
                std::mem::swap(&mut self.costs, &mut self.others);
                self.keep(chain);
            }
        }
        chain.latents.copy_from_slice(&self.latents);
        Ok(())
    }

    fn keep(&mut self, chain: &Chain) {
        self.latents.clone_from(&chain.latents);
        self.picture.clone_from(&chain.picture);
    }

    /// Moves the latents wanted from the first ones towards the best so far with what was `left`.
    fn approach(&mut self, left: &[f32]) {
        let blocks = self.latents.len() / CHANNELS;
        self.wanted.clear();
        self.wanted.extend(self.first.iter().map(|v| (1.0 - GAIN) * v));
        for (block, own) in self.latents.chunks_exact(CHANNELS).enumerate() {
            for (c, &v) in own.iter().enumerate() {
                let place = c * blocks + block;
                self.wanted[place] += GAIN * (f32::from(v) + left[place]);
            }
        }
    }
}

fn sum(costs: &[f32]) -> f64 {
    costs.iter().map(|&c| f64::from(c)).sum()
}

/// The cost of each block in squared steps: its error over red, green and blue, as chroma weighs there, and its bits.
fn costs(a: &Picture, b: &Picture, step: f32, (bits, weight): (&[f32], f32), out: &mut Vec<f32>) {
    let columns = a.width / BLOCK;
    out.clear();
    out.extend(bits.iter().map(|b| weight * b));
    // An error of chroma weighs about as much as one of luma, and a sample covers four pixels.
    for (plane, side, weight) in [(0, BLOCK, 1.0), (1, BLOCK / 2, 4.0), (2, BLOCK / 2, 4.0)] {
        let scale = weight / (step * step);
        let rows =
            a.planes[plane].chunks_exact(columns * side).zip(b.planes[plane].chunks_exact(columns * side));
        for (y, (a, b)) in rows.enumerate() {
            let own = &mut out[y / side * columns..][..columns];
            for ((cost, a), b) in own.iter_mut().zip(a.chunks_exact(side)).zip(b.chunks_exact(side)) {
                let error: u32 = a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum();
                *cost += scale * error as f32;
            }
        }
    }
}
