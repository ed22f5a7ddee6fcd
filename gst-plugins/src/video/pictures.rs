//! Raw frames to interleaved RGB and back.

use gst::glib::BoolError;
use gst_video::{VideoConverter, VideoFormat, VideoFrameRef, VideoInfo};

/// Interleaved RGB of the size and rate of `info`, without padding after rows.
fn bare_rgb(info: &VideoInfo) -> Result<VideoInfo, BoolError> {
    let row = 3 * info.width() as i32;
    VideoInfo::builder(VideoFormat::Rgb, info.width(), info.height()).fps(info.fps()).stride(&[row]).build()
}

fn bytes(info: &VideoInfo) -> usize {
    3 * info.width() as usize * info.height() as usize
}

/// A buffer for one picture of interleaved RGB.
fn room(info: &VideoInfo) -> Result<gst::Buffer, BoolError> {
    // The format's own idea of its size counts padding.
    gst::Buffer::with_size(bytes(info).max(info.size()))
}

/// Takes pictures out of raw frames of a format.
pub(crate) struct Reader {
    from: VideoInfo,
    to: VideoInfo,
    converter: VideoConverter,
    rgb: gst::Buffer,
}

impl Reader {
    pub(crate) fn new(from: &VideoInfo) -> Result<Self, BoolError> {
        let to = bare_rgb(from)?;
        let converter = VideoConverter::new(from, &to, None)?;
        let rgb = room(&to)?;
        Ok(Self { from: from.clone(), to, converter, rgb })
    }

    /// Bytes of a picture.
    pub(crate) fn bytes(&self) -> usize {
        bytes(&self.to)
    }

    /// The picture of a frame.
    pub(crate) fn read(&mut self, frame: &gst::BufferRef) -> Result<Vec<u8>, BoolError> {
        let source = VideoFrameRef::from_buffer_ref_readable(frame, &self.from)?;
        let rgb = self.rgb.make_mut();
        let mut target = VideoFrameRef::from_buffer_ref_writable(rgb, &self.to)?;
        self.converter.frame_ref(&source, &mut target);
        let picture = target.plane_data(0)?.get(..bytes(&self.to)).map(<[u8]>::to_vec);
        picture.ok_or_else(|| gst::glib::bool_error!("a picture of too few bytes"))
    }
}

/// Puts pictures into raw frames of a format.
pub(crate) struct Writer {
    from: VideoInfo,
    to: VideoInfo,
    converter: VideoConverter,
    rgb: gst::Buffer,
}

impl Writer {
    pub(crate) fn new(to: &VideoInfo) -> Result<Self, BoolError> {
        let from = bare_rgb(to)?;
        let converter = VideoConverter::new(&from, to, None)?;
        let rgb = room(&from)?;
        Ok(Self { from, to: to.clone(), converter, rgb })
    }

    /// Puts a picture of interleaved RGB into a frame.
    pub(crate) fn write(&mut self, picture: &[u8], frame: &mut gst::BufferRef) -> Result<(), BoolError> {
        let rgb = self.rgb.make_mut();
        rgb.copy_from_slice(0, picture).map_err(|_| gst::glib::bool_error!("a picture of too many bytes"))?;
        let source = VideoFrameRef::from_buffer_ref_readable(self.rgb.as_ref(), &self.from)?;
        let mut target = VideoFrameRef::from_buffer_ref_writable(frame, &self.to)?;
        self.converter.frame_ref(&source, &mut target);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_odd_sizes_come_back() {
        gst::init().expect("GStreamer");
        for (width, height) in [(16, 16), (17, 31), (45, 16)] {
            let smooth = |i: u32| {
                let (x, y) = (i / 3 % width, i / 3 / width);
                (40 + 2 * x + 3 * y + 20 * (i % 3)) as u8
            };
            let picture: Vec<u8> = (0..3 * width * height).map(smooth).collect();
            for (format, error) in [(VideoFormat::Rgb, 0), (VideoFormat::I420, 6)] {
                let info = VideoInfo::builder(format, width, height).build().expect("a format");
                let mut frame = gst::Buffer::with_size(info.size()).expect("memory");
                let mut writer = Writer::new(&info).expect("a converter");
                writer.write(&picture, frame.make_mut()).expect("a picture");
                let mut reader = Reader::new(&info).expect("a converter");
                let back = reader.read(&frame).expect("a frame");
                assert_eq!(back.len(), reader.bytes());
                let worst = back.iter().zip(&picture).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(worst <= Some(error), "{format:?} {width}x{height}: {worst:?}");
            }
        }
    }
}
