//! The frames of a file's video, as the canvas of a page takes them.

use std::cell::RefCell;
use std::rc::Rc;

use siskin_core::bitstream::VideoHeader;
use siskin_core::container::{Block, Reader, VIDEO_CODEC_ID};
use siskin_core::media::{PixelFormat, Size, VideoFrame, YuvMatrix};
use siskin_core::video::{Coding, blocks, inspect};
use siskin_core::{Error, Limits};

use crate::group::Group;
use crate::state::{Failure, Result};
use crate::store::{Store, StoreReader, open_reader};

/// What a call came to: a packet has a frame or several, and each call goes on by one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// There are no more.
    End,
    /// A frame to be shown.
    Frame,
    /// A frame before the time that was sought: those after it need it.
    Before,
    /// A packet that is damaged, or predicted from a damaged one.
    Damaged,
}

/// What decoding found missing.
#[derive(Debug, Default)]
pub(crate) struct VideoLosses {
    /// Frames that could not be decoded: those of damaged packets, and those that are predicted from one.
    pub(crate) bad_frames: u64,
    /// Why reading stopped before the end.
    pub(crate) damage: Option<String>,
}

/// Decodes the video track of a file frame by frame.
pub(crate) struct VideoReader {
    reader: Reader<StoreReader>,
    track: u64,
    header: VideoHeader,
    decoder: blocks::Decoder,
    block: Block,
    group: Group,
    /// Frames that end before are decoded and not shown.
    show_from_ns: u64,
    losses: VideoLosses,
    rgb: VideoFrame,
    rgba: Vec<u8>,
}

impl VideoReader {
    /// Opens the video of a file; fails if its coding is none that is decoded here.
    pub(crate) fn open(store: &Rc<RefCell<Store>>) -> Result<Self> {
        let reader = open_reader(store)?;
        let (track, header) = find_track(&reader)?.ok_or_else(|| no_video(&reader))?;
        let mut video = Self {
            reader,
            track,
            header,
            decoder: blocks::Decoder::new(),
            block: Block::default(),
            group: Group::default(),
            show_from_ns: 0,
            losses: VideoLosses::default(),
            rgb: VideoFrame::default(),
            rgba: Vec::new(),
        };
        video.check_coding()?;
        Ok(video)
    }

    /// Looks at the first packet: the header of a track does not tell how it is coded.
    fn check_coding(&mut self) -> Result<()> {
        let start = self.reader.place();
        let is_there = self.next_packet()?;
        self.reader.return_to(start)?;
        // What is damaged is for the decoder to judge.
        let coding =
            inspect(&self.block.data, &Limits::default()).ok().filter(|_| is_there).map(|i| i.coding);
        let what = match coding {
            Some(Coding::Fitted) => "brings a network of its own (a fit, `siskin encode --preset nerv-...`)",
            Some(Coding::Realtime) => {
                "is coded with a network (the model video-realtime of earlier versions)"
            }
            Some(Coding::Blocks) | None => return Ok(()),
        };
        Err(format!(
            "the video {what}, which this player does not run: play it with `siskin play` or GStreamer"
        )
        .into())
    }

    fn next_packet(&mut self) -> Result<bool> {
        loop {
            let place = self.reader.place();
            match self.reader.next_block(&mut self.block) {
                Ok(true) if self.block.track == self.track => return Ok(true),
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(e) if e.is_would_block() => {
                    self.reader.return_to(place)?;
                    return Err(e.into());
                }
                // What could be read before is worth keeping, so damage ends the video.
                Err(e) => {
                    self.losses.damage = Some(e.with_sources());
                    return Ok(false);
                }
            }
        }
    }

    /// The next frame of the packet that was decoded last, else that of the next packet.
    pub(crate) fn decode_next(&mut self) -> Result<Step> {
        if !self.group.advance() {
            if !self.next_packet()? {
                return Ok(Step::End);
            }
            match self.decoder.decode(&self.block.data) {
                Ok(info) => self.group = Group::new(&self.block, &info, &self.header),
                Err(Error::Bitstream { .. } | Error::MissingHeader | Error::MissingPredecessor { .. }) => {
                    let (frames, lasts_ns) = self.measure_damaged();
                    self.losses.bad_frames += frames;
                    let start = self.block.pts_ns;
                    self.group = Group::damaged(start, start.saturating_add(lasts_ns));
                    return Ok(Step::Damaged);
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(if self.group.times().1 <= self.show_from_ns { Step::Before } else { Step::Frame })
    }

    /// Frames of a packet that could not be decoded, and how long it lasts in nanoseconds.
    fn measure_damaged(&self) -> (u64, u64) {
        let block_ns = self.block.duration_ns.unwrap_or(0);
        match inspect(&self.block.data, &Limits::default()) {
            // It is whole, and is predicted from one that is not.
            Ok(info) => (u64::from(info.frames), info.duration_ns(&self.header).unwrap_or(block_ns)),
            // Its head is not to be trusted. A duration of damaged data must not become millions of frames.
            Err(_) => {
                let most = u64::from(Limits::default().max_video_frames);
                (self.header.ns_to_frames(block_ns).unwrap_or(1).clamp(1, most), block_ns)
            }
        }
    }

    /// When the frame begins and ends, in seconds; all of a damaged packet.
    pub(crate) fn time(&self) -> (f64, f64) {
        let (start, end) = self.group.times();
        (start as f64 / 1e9, end as f64 / 1e9)
    }

    /// Columns and rows of the frame that was decoded last.
    pub(crate) fn size(&self) -> Result<Size> {
        Ok(self.decoder.frame()?.size())
    }

    /// The frame that was decoded last: red, green, blue and opacity of its pixels, row by row.
    pub(crate) fn pixels(&mut self) -> Result<&[u8]> {
        let header = self.decoder.header().unwrap_or(&self.header);
        let matrix = YuvMatrix::from_colorimetry(&header.colorimetry);
        let frame = match self.group.index() {
            Some(index) => self.decoder.frame_at(index)?,
            // The last one that was whole.
            None => self.decoder.frame()?,
        };
        frame.convert_to(PixelFormat::Rgb, &matrix, &mut self.rgb);
        let pixels = self.rgb.data().as_chunks::<3>().0;
        self.rgba.resize(pixels.len() * 4, u8::MAX);
        for (pixel, rgba) in pixels.iter().zip(self.rgba.as_chunks_mut::<4>().0) {
            rgba[..3].copy_from_slice(pixel);
        }
        Ok(&self.rgba)
    }

    /// Goes on at a time: the next frame to be shown is the one that is on screen then.
    pub(crate) fn seek(&mut self, seconds: f64) -> Result<()> {
        self.decoder.reset();
        self.group = Group::default();
        // What lies behind the place is read again, and would count twice.
        self.losses = VideoLosses::default();
        self.show_from_ns = (seconds * 1e9) as u64;
        Ok(self.reader.seek_to_keyframe(self.track, self.show_from_ns)?)
    }

    /// What was damaged since the last seek, or since the file was opened.
    pub(crate) fn losses(&self) -> &VideoLosses {
        &self.losses
    }

    /// Whether the file was found to end too early.
    pub(crate) fn is_truncated(&self) -> bool {
        self.reader.is_truncated()
    }
}

/// The video track of a file, if it has one, and what its header says.
pub(crate) fn find_track(reader: &Reader<StoreReader>) -> Result<Option<(u64, VideoHeader)>> {
    let Some(track) = reader.tracks().iter().find(|t| t.codec_id == VIDEO_CODEC_ID) else { return Ok(None) };
    let (header, _) = VideoHeader::parse(&track.codec_private, &Limits::default())?;
    Ok(Some((track.number, header)))
}

fn no_video(reader: &Reader<StoreReader>) -> Failure {
    let ids: Vec<_> = reader.tracks().iter().map(|t| t.codec_id.as_str()).collect();
    format!("no {VIDEO_CODEC_ID} track, found: {}", ids.join(", ")).into()
}
