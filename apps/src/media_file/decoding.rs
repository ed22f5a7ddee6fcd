//! A coded file to samples, with the bundle that it names and what the user asked for.

use anyhow::{Result, bail};
use siskin_core::audio::file::{AudioFile, FileDecoder, Losses, PacketFilter};
use siskin_core::bitstream::packet::BoundPacket;
use siskin_core::bundle::Bundle;
use siskin_core::entropy::Coder;
use siskin_core::runtime::{Provider, Runtime};

use super::channel::Channel;
use super::prefix::Prefix;
use super::{CodedFile, Source};
use crate::failure::usage_error;

/// Decodes a file packet by packet.
pub(crate) struct Decoding {
    name: String,
    decoder: FileDecoder<Box<dyn Source>>,
}

/// What the user lets happen to packets.
struct Filter {
    channel: Option<Channel>,
    prefix: Option<Prefix>,
}

impl PacketFilter for Filter {
    fn loses_next(&mut self) -> bool {
        self.channel.as_mut().is_some_and(Channel::loses_next)
    }

    fn rewrite(&mut self, packet: &BoundPacket<'_>, into: &mut Vec<u8>) -> siskin_core::Result<bool> {
        let Some(prefix) = &mut self.prefix else { return Ok(false) };
        prefix.cut(packet, into).map(|()| true)
    }
}

impl Decoding {
    /// Prepares to decode with the bundle that the stream names; `model` and `stages` as the user gave them.
    pub(crate) fn new(
        file: CodedFile,
        model: Option<&str>,
        runtime: &Runtime,
        stages: Option<u8>,
        channel: Option<Channel>,
    ) -> Result<Self> {
        // Asked before the bundle, which may not be here.
        let all = file.header().stages;
        if let Some(asked) = stages.filter(|s| !(1..=all).contains(s)) {
            return Err(usage_error(format!("--stages is {asked}, {} has: 1 to {all}", file.name())));
        }
        let bundle = Bundle::for_stream(file.header(), model).map_err(|e| match (&e, model) {
            (siskin_core::Error::WrongBundle { needed_name, needed_id, .. }, Some(name)) => usage_error(format!(
                "--model is {name}, {} was coded with {needed_name} (id {needed_id}): without --model that is taken",
                file.name()
            )),
            _ => e.into(),
        })?;
        let tables = siskin_core::audio::load_entropy_tables(&bundle)?;
        let (name, file) = file.into_parts();
        let mut decoder = FileDecoder::new(file, &bundle, runtime)?;
        let prefix = stages.map(|s| Prefix::new(s, tables.map(Coder::new)));
        if channel.is_some() || prefix.is_some() {
            decoder.set_filter(Box::new(Filter { channel, prefix }));
        }
        Ok(Self { name, decoder })
    }

    /// The file's name, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The file being decoded.
    pub(crate) fn file(&self) -> &AudioFile<Box<dyn Source>> {
        self.decoder.file()
    }

    /// What runs the network.
    pub(crate) fn provider(&self) -> Provider {
        self.decoder.provider()
    }

    /// Samples a second.
    pub(crate) fn rate(&self) -> u32 {
        self.decoder.sample_rate()
    }

    /// Channels, which lie interleaved in what is decoded.
    pub(crate) fn channels(&self) -> u8 {
        self.decoder.channels()
    }

    /// When the first sample is heard, in nanoseconds of the file; known once there is one.
    pub(crate) fn start_ns(&self) -> u64 {
        self.decoder.start_ns()
    }

    /// When what has been handed out ends, in nanoseconds of the file.
    pub(crate) fn end_ns(&self) -> u64 {
        self.decoder.end_ns()
    }

    /// Samples a channel handed out so far.
    pub(crate) fn given_samples(&self) -> u64 {
        self.decoder.given_samples()
    }

    /// Bytes of the packets read so far.
    pub(crate) fn packet_bytes(&self) -> u64 {
        self.decoder.packet_bytes()
    }

    /// What was lost so far.
    pub(crate) fn losses(&self) -> &Losses {
        self.decoder.losses()
    }

    /// Goes on at a time: the samples from there are those of decoding from the start.
    pub(crate) fn seek(&mut self, seconds: f64) -> Result<()> {
        Ok(self.decoder.seek(seconds)?)
    }

    /// Appends the samples of the next packet to `out`; false at the end.
    pub(crate) fn next(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        Ok(self.decoder.decode_next(out)?)
    }

    /// Fails if nothing at all could be decoded.
    pub(crate) fn check_any(&self) -> Result<()> {
        if self.given_samples() > 0 {
            return Ok(());
        }
        let name = self.name();
        match self.losses() {
            Losses { damage: Some(damage), .. } => bail!("{name}: {damage}"),
            Losses { bad_packets: 1.., .. } => bail!("{name}: none of its packets can be decoded"),
            Losses { ends_early: true, .. } => bail!("{name} is cut off before its first packet"),
            _ => bail!("{name} holds no packets"),
        }
    }
}
