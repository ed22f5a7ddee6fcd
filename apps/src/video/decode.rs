//! Decoding: every frame of every group; what cannot be decoded is bridged by the frame before it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::json;
use siskin_core::container::Block;
use siskin_core::runtime::Runtime;
use siskin_core::video::{Coding, Decoder, GopInfo, inspect};
use siskin_core::{Error, Limits};

use super::VideoFile;
use super::y4m::{RawFormat, RawOutput};
use crate::coded::CodedFile;
use crate::interrupt;
use crate::report::Report;
use crate::target::Target;

/// Decodes a file picture by picture.
pub(super) struct Pictures {
    file: VideoFile,
    decoder: Decoder,
    block: Block,
    /// The group at hand: its frames, and the next one.
    frames: usize,
    next: usize,
    /// Whether the group cannot be decoded and the last picture stands for its frames.
    held: bool,
    picture: Vec<u8>,
    /// Whether the picture is 4:2:0, which it is in the real-time mode.
    planar: bool,
    /// What went wrong, by packet.
    pub(super) faults: Vec<String>,
    pub(super) packets: u64,
    pub(super) packet_bytes: u64,
    /// Pictures handed out, and those of them that stand for lost ones.
    pub(super) given: u64,
    pub(super) concealed: u64,
}

impl Pictures {
    pub(super) fn new(file: VideoFile, runtime: &Runtime) -> Self {
        Self {
            file,
            decoder: Decoder::new(runtime),
            block: Block::default(),
            frames: 0,
            next: 0,
            held: false,
            picture: Vec::new(),
            planar: false,
            faults: Vec::new(),
            packets: 0,
            packet_bytes: 0,
            given: 0,
            concealed: 0,
        }
    }

    pub(super) fn file(&self) -> &VideoFile {
        &self.file
    }

    /// The picture at hand, and whether it is 4:2:0, planes without gaps, and not interleaved RGB.
    pub(super) fn picture(&self) -> (&[u8], bool) {
        (&self.picture, self.planar)
    }

    /// Goes on to the next picture; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool> {
        while self.next == self.frames {
            match self.file.next(&mut self.block) {
                Ok(true) => self.take_packet()?,
                Ok(false) => return Ok(false),
                Err(e) => {
                    self.faults.push(e.to_string());
                    return Ok(false);
                }
            }
        }
        if !self.held {
            let decoded = match self.planar {
                true => self.decoder.frame_i420(self.next, &mut self.picture),
                false => self.decoder.frame(self.next, &mut self.picture),
            };
            match decoded {
                Ok(()) => {}
                Err(e @ Error::NotFinite { .. }) => {
                    self.faults.push(format!("packet {}: {e}", self.packets));
                    self.held = true;
                }
                Err(e) => return Err(e.into()),
            }
        }
        self.next += 1;
        self.given += 1;
        self.concealed += u64::from(self.held);
        if self.picture.is_empty() {
            // Nothing good has come yet: grey.
            self.planar = false;
            self.picture.resize(3 * self.file.header().pixels(), 128);
        }
        Ok(true)
    }

    fn take_packet(&mut self) -> Result<()> {
        self.packets += 1;
        self.packet_bytes += self.block.data.len() as u64;
        let header = *self.file.header();
        let same_size =
            |info: &GopInfo| info.header.is_none_or(|h| (h.width, h.height) == (header.width, header.height));
        let loaded = match inspect(&self.block.data, &Limits::default()) {
            Ok(info) if !same_size(&info) => {
                self.faults.push(format!("packet {}: pictures of another size", self.packets));
                return Ok(());
            }
            _ => self.decoder.load(&self.block.data),
        };
        match loaded {
            Ok(info) => {
                (self.frames, self.held) = (info.frames as usize, false);
                self.planar = info.coding == Coding::Realtime;
            }
            Err(e @ (Error::Bitstream { .. } | Error::MissingHeader | Error::MissingPredecessor { .. })) => {
                self.faults.push(format!("packet {}: {e}", self.packets));
                // As long as the packet's head can be read, its frames are bridged.
                let frames = inspect(&self.block.data, &Limits::default()).map_or(0, |i| i.frames);
                (self.frames, self.held) = (frames as usize, true);
            }
            Err(e) => return Err(e.into()),
        }
        self.next = 0;
        Ok(())
    }

    /// Fails if nothing at all could be decoded.
    pub(super) fn check_any(&self) -> Result<()> {
        if self.given > self.concealed {
            return Ok(());
        }
        match self.faults.first() {
            Some(fault) => bail!("{}: {fault}", self.file.name()),
            None => bail!("{} holds no pictures", self.file.name()),
        }
    }
}

/// Whether an output is meant for the pictures of a file; else it is for the sound that it has too.
pub(crate) fn takes(output: &Path, input: &Path) -> Result<bool> {
    let is_special = std::fs::metadata(output).is_ok_and(|m| !m.is_file() && !m.is_dir());
    match RawFormat::of(output, is_special) {
        Ok(_) => Ok(true),
        Err(_) if CodedFile::is_coded(input) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Decodes a video file to raw video.
pub(crate) fn run(
    input: &Path,
    output: &Path,
    runtime: &Runtime,
    open: impl FnOnce() -> Result<Target>,
    report: &mut Report,
) -> Result<ExitCode> {
    let is_special = std::fs::metadata(output).is_ok_and(|m| !m.is_file() && !m.is_dir());
    let format = RawFormat::of(output, is_special)?;
    let file = VideoFile::open(input)?;
    let header = *file.header();
    let total =
        file.duration_ns().zip(header.frame_duration_ns()).map(|(all, one)| (all + one / 2) / one.max(1));
    let mut pictures = Pictures::new(file, runtime);
    let target = open()?;
    if format == RawFormat::Y4m && header.frame_rate.0 == 0 {
        report.warn("the frame rate is not constant, which .y4m cannot say")?;
    }
    let mut raw = RawOutput::create(target.handle()?, format, &header)?;
    while pictures.advance()? {
        interrupt::check()?;
        let (picture, planar) = pictures.picture();
        if planar {
            raw.write_planar(picture)?
        } else {
            raw.write(picture)?
        }
        let (given, fps) = (pictures.given, pictures.given as f64 / report.elapsed().max(1e-3));
        report.show(
            || format!("{given} frames  {fps:.1} fps"),
            || json!({ "type": "progress", "frames_done": given, "frames_total": total, "fps": fps }),
        )?;
    }
    pictures.check_any()?;
    raw.finish()?;
    target.commit()?;
    for fault in &pictures.faults {
        report.warn(&format!("{}: {fault}", input.display()))?;
    }
    if pictures.file().is_truncated() {
        report.warn(&format!("{} is cut off", input.display()))?;
    }
    let fps = pictures.given as f64 / report.elapsed().max(1e-6);
    report.done(
        &format!("{} frames of {}x{}, {fps:.1} fps", pictures.given, header.width, header.height),
        &json!({
            "type": "result",
            "verb": "decode",
            "input": input.to_string_lossy(),
            "output": output.to_string_lossy(),
            "frames": pictures.given,
            "concealed_frames": pictures.concealed,
            "width": header.width,
            "height": header.height,
            "packets": pictures.packets,
            "packet_bytes": pictures.packet_bytes,
            "faults": pictures.faults.len(),
            "truncated": pictures.file().is_truncated(),
            "elapsed_seconds": report.elapsed(),
            "fps": fps,
        }),
    )?;
    Ok(ExitCode::SUCCESS)
}
