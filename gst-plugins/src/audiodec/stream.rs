//! A decoder and the stream that it is in the middle of.

use siskin_core::Result;
use siskin_core::audio::Decoder;
use siskin_core::bitstream::StreamHeader;
use siskin_core::bundle::Bundle;

use crate::element::counters;
use crate::inference::InferenceSettings;
use crate::time::{samples_to_time, time_to_samples};

counters! {
    /// Counters behind the property `stats`.
    Stats as "siskin-audio-decoder-stats" {
        packets: u64,
        frames: u64,
        samples: u64,
        bytes: u64,
        broken_packets: u64,
        concealments: u64,
        concealed_samples: u64,
        recovered_samples: u64,
        pause_samples: u64,
        packets_before_header: u64,
    }
}

/// A stream whose header is known.
pub(super) struct Stream {
    pub(super) decoder: Decoder,
    /// Samples of the last packet: what a broken one without a duration is taken to have held.
    pub(super) last_samples: u64,
    /// Time at which the next packet should begin.
    expected: Option<gst::ClockTime>,
    /// The packet after the gap that is being concealed, which may repeat lost frames.
    pub(super) next: Vec<u8>,
    /// Broken packets in a row.
    pub(super) broken: u32,
    /// Packets in a row that need another bundle.
    pub(super) foreign: u32,
}

impl Stream {
    /// The longest loss that is concealed, in seconds: the held sound has faded into background noise after a fraction of a
    /// second, so what is longer is left to the sink's silence.
    pub(super) const MAX_LOSS_SECONDS: u64 = 10;

    /// Opens the bundle that the stream needs.
    pub(super) fn open_bundle(header: &StreamHeader, settings: &InferenceSettings) -> Result<Self> {
        let bundle = Bundle::for_stream(header, settings.model.as_deref())?;
        let mut decoder = Decoder::new(&bundle, &settings.load_runtime()?)?;
        // The header may have fewer stages than the bundle has.
        decoder.set_header(header)?;
        let last_samples = header.hop.into();
        Ok(Self { decoder, last_samples, expected: None, next: Vec::new(), broken: 0, foreign: 0 })
    }

    pub(super) fn header(&self) -> &StreamHeader {
        self.decoder.stream_header()
    }

    /// Whether this decoder decodes the stream of `header`, whatever name that gives the bundle.
    pub(super) fn can_decode(&self, header: &StreamHeader) -> bool {
        // Bundles may be renamed; their id is what tells them apart.
        StreamHeader { bundle_name: String::new(), ..header.clone() }.same_stream(self.header())
    }

    /// How many samples last `time`.
    pub(super) fn samples_in(&self, time: gst::ClockTime) -> u64 {
        time_to_samples(self.header().sample_rate, time).unwrap_or(u64::MAX)
    }

    /// How long `samples` last.
    pub(super) fn time_of(&self, samples: u64) -> gst::ClockTime {
        samples_to_time(self.header().sample_rate, samples).unwrap_or(gst::ClockTime::MAX)
    }

    /// Notes where output of `samples` samples that begins at `pts` ends.
    pub(super) fn note_end(&mut self, pts: Option<gst::ClockTime>, samples: u64) {
        self.expected = pts.and_then(|pts| pts.checked_add(self.time_of(samples)));
    }

    /// Start and length of the gap before a packet at `pts`, if it is one to conceal: at least half a frame, which no
    /// container's rounding of timestamps reaches, and at most [`MAX_LOSS_SECONDS`](Self::MAX_LOSS_SECONDS).
    pub(super) fn gap_before(&self, pts: gst::ClockTime) -> Option<(gst::ClockTime, gst::ClockTime)> {
        let expected = self.expected?;
        let hole = pts.checked_sub(expected)?;
        // Shorter ones would be filled with a whole frame, and push all later sound back.
        let least = self.time_of(u64::from(self.header().hop) / 2);
        let most = gst::ClockTime::from_seconds(Self::MAX_LOSS_SECONDS);
        (least..=most).contains(&hole).then_some((expected, hole))
    }

    /// Bridges `samples`, at most [`MAX_LOSS_SECONDS`](Self::MAX_LOSS_SECONDS). What is lost is whole frames; a length that
    /// is off by no more than clocks and rounded timestamps are is taken for the whole frames that it means. The second
    /// count are the samples of those that came back as copies.
    pub(super) fn conceal_samples(&mut self, samples: u64, out: &mut Vec<f32>) -> Result<(u64, u64)> {
        let (hop, rate) = (u64::from(self.header().hop), u64::from(self.header().sample_rate));
        let whole = (samples + hop / 2) / hop * hop;
        // Within 2 ms, a 500th of a second: Matroska's milliseconds at both ends of a gap, and as much again for
        // clocks.
        let meant = if whole > 0 && whole.abs_diff(samples) * 500 <= rate { whole } else { samples };
        let samples = meant.min(rate * Self::MAX_LOSS_SECONDS);
        let start = out.len();
        // At most 10 s of frames, so the count is small; the decoder's last frame may be cut.
        let frames = samples.div_ceil(hop) as u32;
        let next = std::mem::take(&mut self.next);
        // Copies replace whole frames right before their packet. If the gap is no whole number of frames, nobody
        // knows which they are.
        let recovered = if u64::from(frames) * hop == samples {
            u64::from(self.decoder.conceal_before_data(frames, &next, out)?) * hop
        } else {
            self.decoder.conceal(frames, out)?;
            0
        };
        out.truncate(start + samples as usize * usize::from(self.header().channels));
        Ok((samples, recovered))
    }

    /// Forgets the sound so far: what comes next does not follow from it.
    pub(super) fn reset(&mut self) {
        self.decoder.reset();
        self.expected = None;
    }
}
