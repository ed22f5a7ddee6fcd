//! The work of a frame, taken apart into the same steps that `siskin_core::audio` does in one.

use std::time::Instant;

use siskin_core::audio::ResidualQuantizer;
use siskin_core::bitstream::StreamHeader;
use siskin_core::bitstream::packet::{Packet, PacketInfo, write};
use siskin_core::bundle::{Bundle, GraphSpec};
use siskin_core::runtime::{Runtime, StepNetwork};
use siskin_core::{Limits, Result};

use super::Steps;

/// The stream header goes into every so many packets.
const HEADER_INTERVAL: usize = 50;

fn network(bundle: &Bundle, runtime: &Runtime, spec: &GraphSpec) -> Result<Box<dyn StepNetwork>> {
    runtime.network(spec, bundle.file(&spec.file)?)
}

fn microseconds(from: Instant, to: Instant) -> f64 {
    to.duration_since(from).as_secs_f64() * 1e6
}

/// Encodes one-frame packets and times the steps.
pub(crate) struct SplitEncoder {
    network: Box<dyn StepNetwork>,
    quantizer: ResidualQuantizer,
    header: StreamHeader,
    stages: u8,
    latent: Vec<f32>,
    scratch: Vec<f32>,
    codes: Vec<u16>,
    packet: Vec<u8>,
    pub(crate) steps: Steps,
}

impl SplitEncoder {
    pub(crate) fn new(bundle: &Bundle, runtime: &Runtime, stages: u8) -> Result<Self> {
        let quantizer = ResidualQuantizer::from_bundle(bundle)?;
        let header = bundle.stream_header();
        Ok(Self {
            network: network(bundle, runtime, &bundle.manifest().encoder)?,
            latent: vec![0.0; quantizer.latent_dim()],
            scratch: quantizer.scratch(),
            codes: vec![0; header.codes_per_frame(header.stages)],
            quantizer,
            header,
            stages,
            packet: Vec::new(),
            steps: Steps::default(),
        })
    }

    /// Encodes a frame of `hop` samples.
    pub(crate) fn run(&mut self, pcm: &[f32]) -> Result<()> {
        let begin = Instant::now();
        for (to, &from) in self.network.input().iter_mut().zip(pcm) {
            *to = if from.is_finite() { from } else { 0.0 };
        }
        let before = Instant::now();
        self.network.run()?;
        let after = Instant::now();
        self.latent.copy_from_slice(self.network.output());
        let used = self.header.codes_per_frame(self.stages);
        self.quantizer.encode(&mut self.latent, &mut self.codes[..used], &mut self.scratch);
        let count = self.steps.network.len();
        let info = PacketInfo { starts_stream: count == 0, end_trim: 0, frames: 1, stages: self.stages };
        self.packet.clear();
        write(&self.header, &info, count.is_multiple_of(HEADER_INTERVAL), &self.codes, &mut self.packet)?;
        let end = Instant::now();
        self.steps.network.push(microseconds(before, after));
        self.steps.rest.push(microseconds(begin, before) + microseconds(after, end));
        Ok(())
    }
}

/// Decodes one-frame packets and times the steps.
pub(crate) struct SplitDecoder {
    network: Box<dyn StepNetwork>,
    quantizer: ResidualQuantizer,
    header: StreamHeader,
    latent: Vec<f32>,
    codes: Vec<u16>,
    limits: Limits,
    pub(crate) steps: Steps,
}

impl SplitDecoder {
    pub(crate) fn new(bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        let quantizer = ResidualQuantizer::from_bundle(bundle)?;
        Ok(Self {
            network: network(bundle, runtime, &bundle.manifest().decoder)?,
            latent: vec![0.0; quantizer.latent_dim()],
            quantizer,
            header: bundle.stream_header(),
            codes: Vec::new(),
            limits: Limits::default(),
            steps: Steps::default(),
        })
    }

    /// Decodes a packet and appends its samples to `out`.
    pub(crate) fn run(&mut self, data: &[u8], out: &mut Vec<f32>) -> Result<()> {
        let begin = Instant::now();
        let packet = Packet::parse(data, &self.limits)?;
        let info = packet.info(&self.header)?;
        packet.codes(&self.header, &info, &mut self.codes);
        self.quantizer.decode(&self.codes, &mut self.latent)?;
        self.network.input().copy_from_slice(&self.latent);
        let before = Instant::now();
        self.network.run()?;
        let after = Instant::now();
        out.extend_from_slice(self.network.output());
        let end = Instant::now();
        self.steps.network.push(microseconds(before, after));
        self.steps.rest.push(microseconds(begin, before) + microseconds(after, end));
        Ok(())
    }
}
