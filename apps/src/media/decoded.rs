//! The frames of a track of an input.

use anyhow::{Result, anyhow, bail};
use ffmpeg_next::{Error as FfmpegError, Rational, codec};

use super::demux::{Kind, Next, Source};
use super::opus_start::{self, OpusStart};

/// A stream's packets in one decoder.
pub(crate) struct Track {
    source: Source,
    kind: Kind,
    decoder: codec::decoder::Opened,
    /// For sound whose beginning its decoder does not drop.
    opus: Option<OpusStart>,
    time_base: Rational,
    /// Packets that could not be decoded so far.
    bad_packets: u64,
    draining: bool,
}

impl Track {
    /// Opens the decoder of a kind's best stream.
    pub(crate) fn open(source: &Source, kind: Kind) -> Result<Self> {
        let name = source.name();
        let (parameters, time_base) = source.select_stream(kind, |s| (s.parameters(), s.time_base()))?;
        let opus = opus_start::is_needed(&source.format_name(), &parameters);
        let context = codec::Context::from_parameters(parameters).map_err(|e| anyhow!("{name}: {e}"))?;
        let mut decoder = context.decoder();
        // Without it the samples that the encoder padded at start and end are not skipped.
        decoder.set_packet_time_base(time_base);
        let opened = match kind {
            Kind::Video => decoder.video().map(|d| d.0),
            Kind::Audio if opus => decoder.open_as_with(codec::Id::OPUS, opus_start::options()),
            Kind::Audio => decoder.audio().map(|d| d.0),
        };
        let medium = if kind == Kind::Video { "video" } else { "audio" };
        let decoder = opened.map_err(|e| anyhow!("{name}: the {medium} cannot be decoded: {e}"))?;
        let opus = opus.then(OpusStart::default);
        Ok(Self { source: source.clone(), kind, decoder, opus, time_base, bad_packets: 0, draining: false })
    }

    /// The input that it is read from.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Seconds of a tick of its frames' times.
    pub(crate) fn time_base(&self) -> Rational {
        self.time_base
    }

    /// Packets that could not be read or decoded so far.
    pub(crate) fn bad_packets(&self) -> u64 {
        self.bad_packets + self.source.bad_packets()
    }

    /// Decodes the next frame; false at the end.
    pub(crate) fn decode(&mut self, frame: &mut ffmpeg_next::Frame) -> Result<bool> {
        Ok(self.decode_within(frame, true)? == Next::There(()))
    }

    /// [`Track::decode`] for who may not be patient.
    pub(super) fn decode_within(
        &mut self,
        frame: &mut ffmpeg_next::Frame,
        is_patient: bool,
    ) -> Result<Next<()>> {
        loop {
            match self.decoder.receive_frame(frame) {
                Ok(()) => return Ok(Next::There(())),
                Err(FfmpegError::Eof) => return Ok(Next::End),
                Err(FfmpegError::Other { errno: ffmpeg_next::error::EAGAIN }) => {
                    if !self.feed(is_patient)? {
                        return Ok(Next::Later);
                    }
                }
                // A damaged packet is counted, and the decoder asked for what follows, as players do.
                Err(_) => self.bad_packets += 1,
            }
        }
    }

    /// [`Track::decode_within`] of sound.
    pub(super) fn decode_sound(
        &mut self,
        frame: &mut ffmpeg_next::frame::Audio,
        is_patient: bool,
    ) -> Result<Next<()>> {
        loop {
            let next = self.decode_within(frame, is_patient)?;
            let Some(start) = &mut self.opus else { return Ok(next) };
            let following = match next {
                Next::There(()) => Some(std::mem::replace(frame, ffmpeg_next::frame::Audio::empty())),
                Next::End => None,
                Next::Later => return Ok(Next::Later),
            };
            let is_end = following.is_none();
            match start.exchange(following, self.time_base)? {
                Some(ready) if ready.samples() > 0 => {
                    *frame = ready;
                    return Ok(Next::There(()));
                }
                _ if is_end => return Ok(Next::End),
                _ => {}
            }
        }
    }

    /// Gives the decoder one more packet, or the end; false if neither is within reach.
    fn feed(&mut self, is_patient: bool) -> Result<bool> {
        // A decoder that was told of the end may ask for nothing any more; one that does would be asked for ever.
        if self.draining {
            bail!("{}: FFmpeg's decoder does not come to an end", self.source.name());
        }
        loop {
            match self.source.next(self.kind, is_patient)? {
                Next::There(packet) if self.decoder.send_packet(&packet).is_ok() => return Ok(true),
                Next::There(_) => self.bad_packets += 1,
                Next::Later => return Ok(false),
                Next::End => {
                    self.draining = true;
                    self.decoder.send_eof().map_err(|e| anyhow!("{}: {e}", self.source.name()))?;
                    return Ok(true);
                }
            }
        }
    }
}
