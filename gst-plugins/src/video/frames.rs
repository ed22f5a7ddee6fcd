//! Between raw buffers of GStreamer and the codec's frames.

use gst::glib::{BoolError, bool_error};
use gst_video::prelude::*;
use gst_video::{VideoConverter, VideoFormat, VideoFrameRef, VideoInfo};
use siskin_core::bitstream::VideoHeader;
use siskin_core::media::{PixelFormat, Plane, PlaneMut, Size, VideoFrame, VideoFrameView};
use siskin_core::video::Coding;

use super::caps;

/// The format of a stream's frames in the codec.
pub(crate) fn codec_format(coding: Coding) -> PixelFormat {
    match coding {
        Coding::Fitted => PixelFormat::Rgb,
        Coding::Realtime | Coding::Blocks => PixelFormat::I420,
    }
}

/// What frames of a codec's format are to GStreamer: without gaps, in the colorimetry of `header`.
fn packed_info(header: &VideoHeader, format: PixelFormat, size: Size) -> Result<VideoInfo, BoolError> {
    let like = match format {
        PixelFormat::Rgb => caps::info_of(header, VideoFormat::Rgb)?,
        PixelFormat::I420 => caps::info_of(header, VideoFormat::I420)?,
    };
    // GStreamer's own layout rounds rows up to four bytes, and the codec's has no gaps.
    let shapes = (0..format.plane_count()).map(|plane| format.plane_shape(size, plane));
    let strides: Vec<i32> = shapes.clone().map(|(row_bytes, _)| row_bytes as i32).collect();
    let offsets: Vec<usize> = shapes
        .scan(0, |end, (row_bytes, rows)| Some(std::mem::replace(end, *end + row_bytes * rows)))
        .collect();
    VideoInfo::builder(like.format(), like.width(), like.height())
        .fps(like.fps())
        .colorimetry(&like.colorimetry())
        .stride(&strides)
        .offset(&offsets)
        .size(format.frame_bytes(size))
        .build()
}

/// Whether samples mean the same in both, so that rows can be passed on as they are.
fn same_samples(a: &VideoInfo, b: &VideoInfo) -> bool {
    let (x, y) = (a.colorimetry(), b.colorimetry());
    // Not primaries and transfer functions: the converter leaves those as they are anyway.
    a.format() == b.format() && (x.matrix() == y.matrix() && x.range() == y.range() || a.is_rgb())
}

/// The planes of a mapped frame, where they are.
fn view_frame<'a, T>(
    frame: &'a VideoFrameRef<T>,
    format: PixelFormat,
    size: Size,
) -> Result<VideoFrameView<'a>, BoolError> {
    let plane = |index: usize| {
        let (row_bytes, rows) = format.plane_shape(size, index);
        let stride = usize::try_from(*frame.plane_stride().get(index)?).ok()?;
        Plane::new(frame.plane_data(index as u32).ok()?, row_bytes, rows, stride).ok()
    };
    let planes: Option<Vec<_>> = (0..format.plane_count()).map(plane).collect();
    let planes = planes.ok_or_else(|| bool_error!("planes that are not {size} in {format:?}"))?;
    VideoFrameView::new(format, size, &planes).map_err(|e| bool_error!("{e}"))
}

/// A converter and the memory of frames on the codec's side of it.
struct Conversion {
    converter: VideoConverter,
    packed: VideoInfo,
    room: gst::Buffer,
}

impl Conversion {
    fn new(converter: VideoConverter, packed: VideoInfo) -> Result<Self, BoolError> {
        // One for all frames: a 4K frame in RGB has 25 MB, which the system would have to clear anew each time.
        let room = gst::Buffer::with_size(packed.size())?;
        Ok(Self { converter, packed, room })
    }
}

/// Reads frames of the codec out of raw buffers.
pub(crate) struct FrameReader {
    raw: VideoInfo,
    format: PixelFormat,
    size: Size,
    /// None where the raw buffers already hold what the codec reads.
    conversion: Option<Conversion>,
}

impl FrameReader {
    /// From `raw` to frames of `format` of a stream.
    pub(crate) fn new(raw: &VideoInfo, header: &VideoHeader, format: PixelFormat) -> Result<Self, BoolError> {
        let size = header.size().map_err(|e| bool_error!("{e}"))?;
        let packed = packed_info(header, format, size)?;
        let conversion = match same_samples(raw, &packed) {
            true => None,
            false => Some(Conversion::new(VideoConverter::new(raw, &packed, None)?, packed)?),
        };
        Ok(Self { raw: raw.clone(), format, size, conversion })
    }

    /// Bytes of a frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.format.frame_bytes(self.size)
    }

    /// Calls `visit` with the frame of a buffer; where nothing has to be converted, with the buffer's own rows.
    pub(crate) fn with_frame<T>(
        &mut self,
        buffer: &gst::BufferRef,
        visit: impl FnOnce(&VideoFrameView<'_>) -> T,
    ) -> Result<T, BoolError> {
        let source = VideoFrameRef::from_buffer_ref_readable(buffer, &self.raw)?;
        let Some(Conversion { converter, packed, room }) = &mut self.conversion else {
            return Ok(visit(&view_frame(&source, self.format, self.size)?));
        };
        let mut target = VideoFrameRef::from_buffer_ref_writable(room.make_mut(), packed)?;
        converter.frame_ref(&source, &mut target);
        Ok(visit(&view_frame(&target, self.format, self.size)?))
    }

    /// A copy of the frame of a buffer.
    pub(crate) fn read_frame(&mut self, buffer: &gst::BufferRef) -> Result<VideoFrame, BoolError> {
        self.with_frame(buffer, |view| {
            let mut frame = VideoFrame::default();
            view.copy_to(&mut frame);
            frame
        })
    }
}

/// Writes frames of the codec into raw buffers.
pub(crate) struct FrameWriter {
    raw: VideoInfo,
    format: PixelFormat,
    size: Size,
    /// None where the raw buffers hold what the codec gives.
    conversion: Option<Conversion>,
}

impl FrameWriter {
    /// From frames of `format` of a stream to `raw`.
    pub(crate) fn new(header: &VideoHeader, format: PixelFormat, raw: &VideoInfo) -> Result<Self, BoolError> {
        let size = header.size().map_err(|e| bool_error!("{e}"))?;
        let packed = packed_info(header, format, size)?;
        let conversion = match same_samples(raw, &packed) {
            true => None,
            false => Some(Conversion::new(VideoConverter::new(&packed, raw, None)?, packed)?),
        };
        Ok(Self { raw: raw.clone(), format, size, conversion })
    }

    /// Writes a frame.
    pub(crate) fn write_frame(
        &mut self,
        frame: &VideoFrameView<'_>,
        buffer: &mut gst::BufferRef,
    ) -> Result<(), BoolError> {
        if (frame.format(), frame.size()) != (self.format, self.size) {
            return Err(bool_error!("{} in {:?}, not {}", frame.size(), frame.format(), self.size));
        }
        let mut target = VideoFrameRef::from_buffer_ref_writable(buffer, &self.raw)?;
        let Some(Conversion { converter, packed, room }) = &mut self.conversion else {
            return copy_planes(frame, &mut target);
        };
        let mut source = VideoFrameRef::from_buffer_ref_writable(room.make_mut(), packed)?;
        copy_planes(frame, &mut source)?;
        converter.frame_ref(&source, &mut target);
        Ok(())
    }
}

fn copy_planes(
    from: &VideoFrameView<'_>,
    to: &mut VideoFrameRef<&mut gst::BufferRef>,
) -> Result<(), BoolError> {
    for (index, plane) in from.planes().iter().enumerate() {
        // As the buffer says and not as calculated: a pool of downstream may pad rows as its hardware likes.
        let stride = to.plane_stride().get(index).and_then(|s| usize::try_from(*s).ok());
        let stride = stride.ok_or_else(|| bool_error!("rows from the bottom up"))?;
        let data = to.plane_data_mut(index as u32)?;
        PlaneMut::new(data, plane.row_bytes(), plane.row_count(), stride)
            .and_then(|mut own| own.copy_from(*plane))
            .map_err(|e| bool_error!("{e}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(frame: &VideoFrame, format: VideoFormat) -> VideoFrame {
        let size = frame.size();
        let info = VideoInfo::builder(format, size.width() as u32, size.height() as u32).build();
        let info = info.expect("a format");
        let header = caps::header_of(&info);
        let mut buffer = gst::Buffer::with_size(info.size()).expect("memory");
        let mut writer = FrameWriter::new(&header, frame.format(), &info).expect("a converter");
        writer.write_frame(&frame.view(), buffer.make_mut()).expect("a frame");
        assert!(writer.write_frame(&VideoFrame::default().view(), buffer.make_mut()).is_err());
        let mut reader = FrameReader::new(&info, &header, frame.format()).expect("a converter");
        let back = reader.read_frame(&buffer).expect("a frame");
        assert_eq!(back.data().len(), reader.frame_bytes());
        back
    }

    #[test]
    fn frames_of_odd_sizes_come_back() {
        gst::init().expect("GStreamer");
        for (width, height) in [(16, 16), (17, 31), (45, 16)] {
            let size = Size::new(width, height).expect("a size");
            let smooth = |i: u32| {
                let (x, y) = (i / 3 % width, i / 3 / width);
                (40 + 2 * x + 3 * y + 20 * (i % 3)) as u8
            };
            let data = (0..3 * width * height).map(smooth).collect();
            let rgb = VideoFrame::from_data(PixelFormat::Rgb, size, data).expect("a frame");
            for (format, error) in [(VideoFormat::Rgb, 0), (VideoFormat::I420, 6)] {
                let back = there_and_back(&rgb, format);
                let worst = back.data().iter().zip(rgb.data()).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(worst <= Some(error), "{format:?} {size}: {worst:?}");
            }
            let mut yuv = VideoFrame::new(PixelFormat::I420, size);
            (0..).zip(yuv.data_mut()).for_each(|(i, v)| *v = (16 + i % 200) as u8);
            assert!(there_and_back(&yuv, VideoFormat::I420) == yuv, "{size}");
        }
    }

    #[test]
    fn rows_are_read_where_they_are_if_nothing_has_to_be_converted() {
        gst::init().expect("GStreamer");
        let info = VideoInfo::builder(VideoFormat::I420, 18, 18).build().expect("a format");
        let buffer = gst::Buffer::with_size(info.size()).expect("memory");
        let start = buffer.map_readable().expect("memory").as_ptr();
        let mut reader =
            FrameReader::new(&info, &caps::header_of(&info), PixelFormat::I420).expect("a format");
        let seen = reader.with_frame(&buffer, |view| {
            let luma = view.planes()[0];
            (luma.data().as_ptr(), luma.row_bytes(), luma.stride())
        });
        // GStreamer aligns rows to four bytes.
        assert_eq!(seen.expect("a frame"), (start, 18, 20));
        assert!(reader.conversion.is_none());
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
            let colorimetry: gst_video::VideoColorimetry = colorimetry.parse().expect("a known colour");
            let info = VideoInfo::builder(VideoFormat::I420, 16, 16)
                .colorimetry(&colorimetry)
                .build()
                .expect("a format");
            let bytes: Vec<u8> = (0..384).map(|i| yuv[[0, 0, 0, 0, 1, 2][i / 64]]).collect();
            let frame = gst::Buffer::from_slice(bytes.clone());
            let mut reader =
                FrameReader::new(&info, &caps::header_of(&info), PixelFormat::Rgb).expect("a converter");
            let rgb = reader.read_frame(&frame).expect("a frame");
            let near = |a: &[u8], b: &[u8]| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 3);
            assert!(near(rgb.data(), &[255, 0, 0].repeat(256)), "{colorimetry}: {:?}", &rgb.data()[..3]);
            let mut writer =
                FrameWriter::new(&caps::header_of(&info), PixelFormat::Rgb, &info).expect("a converter");
            let mut back = gst::Buffer::with_size(info.size()).expect("memory");
            writer.write_frame(&rgb.view(), back.make_mut()).expect("a frame");
            let map = back.map_readable().expect("memory");
            assert!(near(&map, &bytes), "{colorimetry}: {:?}", [map[0], map[256], map[320]]);
        }
    }
}
