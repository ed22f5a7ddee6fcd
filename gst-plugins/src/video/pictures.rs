//! Raw frames to the codec's pictures and back.

use gst::glib::BoolError;
use gst_video::{VideoConverter, VideoFormat, VideoFrameRef, VideoInfo};
use siskin_core::bitstream::VideoHeader;
use siskin_core::video::Coding;

use super::caps;

/// What the codec's pictures are, without padding after rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Interleaved RGB.
    Rgb,
    /// Planes Y, U and V, in 4:2:0.
    I420,
}

impl Layout {
    /// The layout of a stream's pictures in the codec.
    pub(crate) fn of(coding: Coding) -> Self {
        match coding {
            Coding::Fitted => Self::Rgb,
            Coding::Realtime => Self::I420,
        }
    }

    /// The format of these pictures in the colour of `header`, and their bytes.
    fn info(self, header: &VideoHeader) -> Result<(VideoInfo, usize), BoolError> {
        let (width, height) = (header.width as i32, header.height as i32);
        let (half, area) = ((width + 1) / 2, width as usize * height as usize);
        let chroma = half as usize * ((height + 1) / 2) as usize;
        let like = match self {
            Self::Rgb => caps::info_of(header, VideoFormat::Rgb)?,
            Self::I420 => caps::info_of(header, VideoFormat::I420)?,
        };
        let (strides, offsets, bytes) = match self {
            Self::Rgb => (vec![3 * width], vec![0], 3 * area),
            Self::I420 => (vec![width, half, half], vec![0, area, area + chroma], area + 2 * chroma),
        };
        let info = VideoInfo::builder(like.format(), like.width(), like.height())
            .fps(like.fps())
            .colorimetry(&like.colorimetry())
            .stride(&strides)
            .offset(&offsets)
            .size(bytes)
            .build()?;
        Ok((info, bytes))
    }
}

/// Takes pictures out of raw frames of a format.
pub(crate) struct Reader {
    from: VideoInfo,
    to: VideoInfo,
    bytes: usize,
    converter: VideoConverter,
    room: gst::Buffer,
}

impl Reader {
    pub(crate) fn new(from: &VideoInfo, layout: Layout) -> Result<Self, BoolError> {
        let (to, bytes) = layout.info(&caps::header_of(from))?;
        let converter = VideoConverter::new(from, &to, None)?;
        let room = gst::Buffer::with_size(bytes.max(to.size()))?;
        Ok(Self { from: from.clone(), to, bytes, converter, room })
    }

    /// Bytes of a picture.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The picture of a frame.
    pub(crate) fn read(&mut self, frame: &gst::BufferRef) -> Result<Vec<u8>, BoolError> {
        let source = VideoFrameRef::from_buffer_ref_readable(frame, &self.from)?;
        let room = self.room.make_mut();
        let mut target = VideoFrameRef::from_buffer_ref_writable(room, &self.to)?;
        self.converter.frame_ref(&source, &mut target);
        drop(target);
        let mut picture = vec![0; self.bytes];
        self.room.copy_to_slice(0, &mut picture).map_err(|_| gst::glib::bool_error!("too few bytes"))?;
        Ok(picture)
    }
}

/// Puts pictures into raw frames of a format.
pub(crate) struct Writer {
    from: VideoInfo,
    to: VideoInfo,
    converter: VideoConverter,
    room: gst::Buffer,
}

impl Writer {
    /// A way from the pictures of a stream to `to`.
    pub(crate) fn new(header: &VideoHeader, layout: Layout, to: &VideoInfo) -> Result<Self, BoolError> {
        let (from, bytes) = layout.info(header)?;
        let converter = VideoConverter::new(&from, to, None)?;
        let room = gst::Buffer::with_size(bytes.max(from.size()))?;
        Ok(Self { from, to: to.clone(), converter, room })
    }

    /// Puts a picture into a frame.
    pub(crate) fn write(&mut self, picture: &[u8], frame: &mut gst::BufferRef) -> Result<(), BoolError> {
        let room = self.room.make_mut();
        room.copy_from_slice(0, picture).map_err(|_| gst::glib::bool_error!("too many bytes"))?;
        let source = VideoFrameRef::from_buffer_ref_readable(self.room.as_ref(), &self.from)?;
        let mut target = VideoFrameRef::from_buffer_ref_writable(frame, &self.to)?;
        self.converter.frame_ref(&source, &mut target);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(picture: &[u8], layout: Layout, format: VideoFormat, size: (u32, u32)) -> Vec<u8> {
        let info = VideoInfo::builder(format, size.0, size.1).build().expect("a format");
        let header = caps::header_of(&info);
        let mut frame = gst::Buffer::with_size(info.size()).expect("memory");
        let mut writer = Writer::new(&header, layout, &info).expect("a converter");
        writer.write(picture, frame.make_mut()).expect("a picture");
        let mut reader = Reader::new(&info, layout).expect("a converter");
        let back = reader.read(&frame).expect("a frame");
        assert_eq!(back.len(), reader.bytes());
        back
    }

    #[test]
    fn pictures_of_odd_sizes_come_back() {
        gst::init().expect("GStreamer");
        for (width, height) in [(16, 16), (17, 31), (45, 16)] {
            let smooth = |i: u32| {
                let (x, y) = (i / 3 % width, i / 3 / width);
                (40 + 2 * x + 3 * y + 20 * (i % 3)) as u8
            };
            let rgb: Vec<u8> = (0..3 * width * height).map(smooth).collect();
            for (format, error) in [(VideoFormat::Rgb, 0), (VideoFormat::I420, 6)] {
                let back = there_and_back(&rgb, Layout::Rgb, format, (width, height));
                let worst = back.iter().zip(&rgb).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(worst <= Some(error), "{format:?} {width}x{height}: {worst:?}");
            }
            let yuv: Vec<u8> = (0..width * height + 2 * width.div_ceil(2) * height.div_ceil(2))
                .map(|i| (16 + i % 200) as u8)
                .collect();
            let back = there_and_back(&yuv, Layout::I420, VideoFormat::I420, (width, height));
            assert!(back == yuv, "{width}x{height}");
        }
    }

    #[test]
    fn matrix_and_range_of_the_source_are_used_both_ways() {
        gst::init().expect("GStreamer");
        // Red, in BT.709 and BT.601, limited and full range.
        for (colorimetry, yuv) in [
            ("bt709", [63, 102, 240]),
            ("1:3:0:0", [54, 99, 255]),
            ("bt601", [81, 90, 240]),
            ("1:4:0:0", [76, 85, 255]),
        ] {
            let colour: gst_video::VideoColorimetry = colorimetry.parse().expect("a known colour");
            let info =
                VideoInfo::builder(VideoFormat::I420, 16, 16).colorimetry(&colour).build().expect("a format");
            let bytes: Vec<u8> = (0..384).map(|i| yuv[[0, 0, 0, 0, 1, 2][i / 64]]).collect();
            let frame = gst::Buffer::from_slice(bytes.clone());
            let rgb = Reader::new(&info, Layout::Rgb).expect("a converter").read(&frame).expect("a frame");
            let near = |a: &[u8], b: &[u8]| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 3);
            assert!(near(&rgb, &[255, 0, 0].repeat(256)), "{colorimetry}: {:?}", &rgb[..3]);
            let mut writer = Writer::new(&caps::header_of(&info), Layout::Rgb, &info).expect("a converter");
            let mut back = gst::Buffer::with_size(info.size()).expect("memory");
            writer.write(&rgb, back.make_mut()).expect("a picture");
            let map = back.map_readable().expect("memory");
            assert!(near(&map, &bytes), "{colorimetry}: {:?}", [map[0], map[256], map[320]]);
        }
    }
}
