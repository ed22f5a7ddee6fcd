//! Tokens or latents to packets.

use std::collections::VecDeque;

use crate::element::counters;
use siskin_core::audio::LatentQuantizer;
use siskin_core::bitstream::StreamHeader;
use siskin_core::bundle::Bundle;
use siskin_core::tokens::{
    CodePackets, Format, OnBadToken, PackedCodes, TokenError, TokenFile, Unit, Unpacker,
};
use siskin_core::{Error, Result};

/// A packet that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OutPacket {
    pub(super) data: Vec<u8>,
    /// In samples, since the element began.
    pub(super) position: u64,
    pub(super) samples: u64,
}

counters! {
    /// Counters behind the property `stats`.
    Stats as "siskin-token-src-stats" {
        tokens: u64,
        frames: u64,
        lost: u64,
        ignored: u64,
        refused: u64,
    }
}

/// A stream on its way to packets.
pub(super) struct Session {
    pub(super) header: StreamHeader,
    pub(super) stats: Stats,
    bundle: Bundle,
    unpacker: Unpacker,
    packets: CodePackets,
    /// For latents, made when the first come.
    quantizer: Option<LatentQuantizer>,
    /// Where the stream at hand began, and the end of what was sent.
    origin: u64,
    pub(super) sent: u64,
    /// A file being read, and its next frame.
    file: Option<(TokenFile, usize)>,
    /// Nothing comes but from the file.
    pub(super) of_file: bool,
}

impl Session {
    pub(super) fn new(
        bundle: Bundle,
        stages: u8,
        layout: &str,
        on_bad: OnBadToken,
        frames_per_packet: u32,
        file: Option<TokenFile>,
    ) -> Result<Self> {
        let header = bundle.stream_header();
        let format = Format::from_bundle(&bundle, stages, layout)?;
        let mut packets = CodePackets::new(header.clone(), stages, frames_per_packet, file.is_some())?;
        packets.set_tables(siskin_core::audio::load_entropy_tables(&bundle)?);
        if let Some(sizes) = bundle.manifest().segments {
            let meta = file.as_ref().map(|f| &f.meta);
            let scales = meta.map(|m| m.scales.clone()).unwrap_or_default();
            packets.set_segments(sizes, scales, meta.and_then(|m| m.samples))?;
        }
        Ok(Self {
            header,
            stats: Stats::default(),
            bundle,
            unpacker: Unpacker::new(format, on_bad),
            packets,
            quantizer: None,
            origin: 0,
            sent: 0,
            of_file: file.is_some(),
            file: file.map(|f| (f, 0)),
        })
    }

    /// Takes tokens; what was wrong with them, if the stream goes on all the same, comes back.
    pub(super) fn push_tokens(
        &mut self,
        tokens: &[i64],
        out: &mut VecDeque<OutPacket>,
    ) -> Result<Vec<TokenError>> {
        let mut faults = Vec::new();
        let (packets, stats, origin) = (&mut self.packets, &mut self.stats, self.origin);
        // Counted by difference, since a push that fails in the middle has taken a part.
        let before = self.unpacker.token_count();
        let taken = self
            .unpacker
            .push_tokens(tokens, &mut |unit| take(unit, packets, stats, origin, &mut faults, out));
        self.stats.tokens += self.unpacker.token_count() - before;
        self.stats.refused += u64::from(matches!(taken, Err(Error::Token(_))));
        taken.map(|()| faults)
    }

    /// Takes latents `[frame][dimension]`.
    pub(super) fn push_latents(&mut self, latents: &[f32], out: &mut VecDeque<OutPacket>) -> Result<()> {
        let dim = self.bundle.manifest().latent_len();
        // Checked whole before the first is taken: NaN would make the search choose arbitrary codes.
        if !latents.len().is_multiple_of(dim) || latents.iter().any(|x| !x.is_finite()) {
            let value = format!("{} values", latents.len());
            let allowed = format!("whole frames of {dim} finite numbers");
            return Err(Error::Parameter { name: "latents", value, allowed });
        }
        // Most applications push tokens, and codebooks take megabytes.
        if self.quantizer.is_none() {
            self.quantizer = Some(LatentQuantizer::from_bundle(&self.bundle)?);
        }
        let Some(quantizer) = &mut self.quantizer else { return Ok(()) };
        let mut codes = vec![0; self.unpacker.format().codes_per_frame()];
        for latent in latents.chunks_exact(dim) {
            quantizer.quantize(latent, &mut codes)?;
            self.stats.frames += 1;
            self.packets.push_frame(&codes, &mut keep_packet(self.origin, out))?;
        }
        Ok(())
    }

    /// Takes the next frames of the file; false at its end, when the stream has been finished.
    pub(super) fn read_frames(&mut self, out: &mut VecDeque<OutPacket>) -> Result<bool> {
        let Some((file, next)) = &mut self.file else { return Ok(false) };
        // One packet at a time, so that a long file need not be in memory twice.
        while out.is_empty() {
            if *next == file.frames {
                self.packets.finish_stream(file.meta.samples, &mut keep_packet(self.origin, out))?;
                self.file = None;
                return Ok(!out.is_empty());
            }
            // Token files hold codebooks as rows, packets hold frames.
            let frame: Vec<u16> = (0..file.codebooks).map(|k| file.codes[k * file.frames + *next]).collect();
            *next += 1;
            self.stats.frames += 1;
            self.packets.push_frame(&frame, &mut keep_packet(self.origin, out))?;
        }
        Ok(true)
    }

    /// Ends the stream.
    pub(super) fn finish_stream(&mut self, out: &mut VecDeque<OutPacket>) -> Result<Vec<TokenError>> {
        let mut faults = Vec::new();
        let (packets, stats, origin) = (&mut self.packets, &mut self.stats, self.origin);
        let ended =
            self.unpacker.finish_stream(&mut |unit| take(unit, packets, stats, origin, &mut faults, out));
        // Also after an error of the unpacker: whole frames that are in the packet are sent.
        self.packets.finish_stream(None, &mut keep_packet(self.origin, out))?;
        ended.map(|()| faults)
    }

    /// Forgets what was not sent; the next stream begins where the last packet sent has ended.
    pub(super) fn clear(&mut self) {
        self.unpacker.reset();
        self.packets.reset();
        self.origin = self.sent;
    }
}

fn keep_packet(origin: u64, out: &mut VecDeque<OutPacket>) -> impl FnMut(PackedCodes<'_>) -> Result<()> {
    move |packet| {
        let position = origin + packet.position;
        out.push_back(OutPacket { data: packet.data.to_vec(), position, samples: packet.samples });
        Ok(())
    }
}

fn take(
    unit: Unit<'_>,
    packets: &mut CodePackets,
    stats: &mut Stats,
    origin: u64,
    faults: &mut Vec<TokenError>,
    out: &mut VecDeque<OutPacket>,
) -> Result<()> {
    match unit {
        Unit::Frame(codes) => {
            stats.frames += 1;
            packets.push_frame(codes, &mut keep_packet(origin, out))
        }
        Unit::Lost(error) => {
            stats.lost += 1;
            faults.push(error);
            packets.skip_frame(&mut keep_packet(origin, out))
        }
        Unit::Ignored(error) => {
            stats.ignored += 1;
            faults.push(error);
            Ok(())
        }
        // Layouts of models that write text beside the speech; only the speech has a place here.
        Unit::Text { .. } => Ok(()),
    }
}
