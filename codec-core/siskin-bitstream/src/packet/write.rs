use crate::bytes::{BitWriter, put_varint};
use crate::code_coder::CodeCoder;
use crate::comfort_noise::ComfortNoise;
use crate::frames::Frames;
use crate::header::StreamHeader;
use crate::packet::info::PacketInfo;
use crate::packet::payload::{self, Coding};
use crate::packet::segment::Segment;
use crate::packet_flags::{
    FIXED_WIDTH, HAS_END_TRIM, HAS_HEADER, RANGE_CODED, SEGMENT, SID, STARTS_STREAM, VARIABLE, flag_bit,
};
use crate::{Error, Result};

/// Appends a packet to `out`.
///
/// `codes` is frame-major, `[frame][stage][group]`, with `header.stages` stages a frame of which the first
/// `info.stages` are written. `in_band` puts the stream header into the packet: the long form where the packet
/// starts the stream, the short form elsewhere.
///
/// # Errors
/// [`Error::Parameter`] if the counts do not fit the header or each other.
pub fn write_packet(
    header: &StreamHeader,
    info: &PacketInfo,
    in_band: bool,
    codes: &[u16],
    out: &mut Vec<u8>,
) -> Result<()> {
    let per_frame = header.codes_per_frame(header.stages);
    // Checked before the first byte is appended: `out` stays as it was on an error.
    if info.stages == 0 || info.stages > header.stages {
        return Err(Error::parameter("stages", info.stages, format!("1 to {}", header.stages)));
    }
    if info.frames == 0 || codes.len() != info.frames as usize * per_frame {
        let allowed = format!("{} frames of {per_frame} codes", info.frames.max(1));
        return Err(Error::parameter("codes", codes.len(), allowed));
    }
    write_head(header, info, in_band, FIXED_WIDTH, out);
    out.push(info.stages);
    let mut bits = BitWriter::new(out);
    let groups = usize::from(header.groups);
    for stage in 0..usize::from(info.stages) {
        for frame in codes.chunks_exact(per_frame) {
            for &code in &frame[stage * groups..(stage + 1) * groups] {
                bits.write_bits(code, header.code_bits.into());
            }
        }
    }
    bits.fill_byte();
    Ok(())
}

/// Appends a SID packet to `out`: `info.frames` frames of comfort noise of this shape. `info.stages` is ignored.
///
/// # Errors
/// [`Error::Parameter`] if there is no frame.
pub fn write_sid(
    header: &StreamHeader,
    info: &PacketInfo,
    in_band: bool,
    noise: &ComfortNoise,
    out: &mut Vec<u8>,
) -> Result<()> {
    if info.frames == 0 {
        return Err(Error::parameter("frames", info.frames, "1 or more"));
    }
    write_head(header, info, in_band, SID, out);
    noise.write_to(out);
    Ok(())
}

/// Writes what comes before the stages of a packet.
fn write_head(header: &StreamHeader, info: &PacketInfo, in_band: bool, coding: u8, out: &mut Vec<u8>) {
    out.push(
        flag_bit(in_band, HAS_HEADER)
            | flag_bit(info.starts_stream, STARTS_STREAM)
            | flag_bit(info.end_trim > 0, HAS_END_TRIM)
            | coding,
    );
    if in_band {
        // The name in the first packet only: it is for messages, and would cost 10 bytes of speech-24k's 34 each
        // second.
        header.write_to(!info.starts_stream, out);
    }
    if info.end_trim > 0 {
        put_varint(out, info.end_trim);
    }
    put_varint(out, info.frames);
}

/// Appends a packet of frames that may have different stages to `out`, range coded if there is a `coder` for the
/// stream and that takes fewer bytes. `info.frames` and `info.stages` are ignored.
///
/// # Errors
/// [`Error::Parameter`] if there is no frame, or a frame or code does not fit the header or the tables.
pub fn write_frames(
    header: &StreamHeader,
    info: &PacketInfo,
    in_band: bool,
    frames: &Frames,
    coder: Option<&mut dyn CodeCoder>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let stages = check_stages(header, frames)?;
    // Without a coder the codebook's size is not known, only what fits the bits.
    let size = coder.as_ref().map_or(1 << header.code_bits, |c| c.codebook_size());
    if let Some(code) = frames.codes().iter().find(|&&c| usize::from(c) >= size) {
        return Err(Error::parameter("code", code, format!("0 to {}", size - 1)));
    }
    let first = out.len();
    // Which coding is smaller is known once the codes are written; the bits of the coding are set then.
    write_head(header, &PacketInfo { frames: frames.len() as u32, ..*info }, in_band, FIXED_WIDTH, out);
    out.push(stages | flag_bit(frames.is_variable(), VARIABLE));
    out[first] |= match payload::write_codes(header, frames, coder, out) {
        Coding::FixedWidth => FIXED_WIDTH,
        Coding::RangeCoded => RANGE_CODED,
    };
    Ok(())
}

/// Appends a segment to `out`, with codes of fixed width. `info.frames`, `info.stages` and `info.overlap` are ignored.
///
/// # Errors
/// As for [`write_frames`]; [`Error::Parameter`] for a scale that is not finite or below 0.
pub fn write_segment(
    header: &StreamHeader,
    info: &PacketInfo,
    in_band: bool,
    segment: Segment,
    frames: &Frames,
    out: &mut Vec<u8>,
) -> Result<()> {
    segment.check_scale()?;
    let stages = check_stages(header, frames)?;
    let most = (1u32 << header.code_bits) - 1;
    if let Some(code) = frames.codes().iter().find(|&&c| u32::from(c) > most) {
        return Err(Error::parameter("code", code, format!("0 to {most}")));
    }
    write_head(header, &PacketInfo { frames: frames.len() as u32, ..*info }, in_band, SEGMENT, out);
    segment.write_to(out);
    out.push(stages | flag_bit(frames.is_variable(), VARIABLE));
    payload::write_codes(header, frames, None, out);
    Ok(())
}

/// The most stages of a frame; all frames have some, and no more than the stream.
fn check_stages(header: &StreamHeader, frames: &Frames) -> Result<u8> {
    let stages = frames.max_stages();
    if stages > header.stages || frames.stage_counts().contains(&0) || frames.is_empty() {
        return Err(Error::parameter("stages", stages, format!("1 to {} in each frame", header.stages)));
    }
    Ok(stages)
}
