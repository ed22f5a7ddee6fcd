//! The codes of a coded file, without decoding it.

use anyhow::{Result, bail};
use siskin_core::bitstream::StreamHeader;
use siskin_core::bundle::Bundle;
use siskin_core::container::Block;
use siskin_core::entropy::Coder;
use siskin_core::tokens::codes_and_scale_from_packet;

use super::CodedFile;

/// All codes of a file.
pub(crate) struct Codes {
    pub(crate) header: StreamHeader,
    /// Codes a frame.
    pub(crate) codebooks: usize,
    /// `[frame][codebook]`.
    pub(crate) frames: Vec<u16>,
    /// Scales of the segments, for a codec that codes those.
    pub(crate) scales: Vec<f32>,
    /// The recording's length, if the file has its beginning.
    pub(crate) samples: Option<u64>,
}

impl CodedFile {
    /// Reads the codes, of the first `stages` stages if so many are asked for. They have no holes: a file with lost or
    /// broken packets is refused.
    pub(crate) fn codes(mut self, stages: Option<u8>) -> Result<Codes> {
        let (header, name) = (self.header().clone(), self.name().to_owned());
        // Without the bundle range-coded packets are refused, others are not.
        let tables = Bundle::for_stream(&header, None)
            .and_then(|bundle| siskin_core::audio::load_entropy_tables(&bundle));
        let mut coder = tables.ok().flatten().map(Coder::new);
        let (mut block, mut packet, mut frames) = (Block::default(), Vec::new(), Vec::new());
        let mut scales = Vec::new();
        let (mut codebooks, mut samples, mut expected, mut begun, mut origin) = (0, Some(0), None, false, 0);
        while self.next_packet(&mut block)? {
            packet.clear();
            let seconds = block.pts_ns as f64 / 1e9;
            let (info, scale) =
                codes_and_scale_from_packet(&block.data, &header, coder.as_mut(), &mut packet)
                    .map_err(|e| anyhow::anyhow!("{name} at {seconds:.3} s: {e}"))?;
            scales.extend(scale);
            // Token files have one length and one beginning.
            if info.starts_stream && begun {
                bail!("{name} at {seconds:.3} s: another stream begins, one is needed");
            }
            if info.starts_stream {
                origin = self.samples(block.pts_ns).round() as u64;
            }
            let position = if info.starts_stream { origin } else { self.position(block.pts_ns, origin) };
            // A gap would shift all later frames against the sound.
            if expected.is_some_and(|e| e != position) {
                bail!("{name} at {seconds:.3} s: packets before it are missing");
            }
            samples =
                // Without the stream's beginning nobody knows how much pre-skip is still in it.
                samples.filter(|_| begun || info.starts_stream).map(|s: u64| s + info.sample_count(&header));
            expected = Some(position + info.sample_count(&header));
            begun = true;
            let (has, wanted) = (info.stages, stages.unwrap_or(info.stages));
            let count = header.codes_per_frame(wanted);
            if has == 0 {
                bail!(
                    "{name} at {seconds:.3} s: noise in place of codes (DTX), and tokens have no place for that"
                );
            }
            if wanted == 0 || wanted > has || codebooks != 0 && codebooks != count {
                bail!(
                    "{name} at {seconds:.3} s: {has} stages, --stages takes a number that all packets have"
                );
            }
            codebooks = count;
            for frame in packet.chunks_exact(header.codes_per_frame(has)) {
                frames.extend_from_slice(&frame[..count]);
            }
        }
        // At the end, since that is where it shows.
        if self.is_truncated() {
            bail!("{name} is cut off");
        }
        if codebooks == 0 {
            bail!("{name} holds no packets");
        }
        Ok(Codes { header, codebooks, frames, scales, samples })
    }
}
