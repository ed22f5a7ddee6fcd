//! Pictures of every kind come out as they are meant: upright, progressive, with the shape of their pixels, their range and their
//! chroma, and for as long as they are shown.

mod common;

use std::path::Path;
use std::process::Command;

use common::{ffmpeg, folder, good, json, probe, run, stderr, text};

/// Four corners that differ: white, black, light and dark grey from the upper left on.
const CORNERS: &str = "color=black:s=64x48:r=10:d=1,drawbox=w=32:h=24:c=white:t=fill,\
                       drawbox=y=24:w=32:h=24:c=0xa0a0a0:t=fill,drawbox=x=32:y=24:w=32:h=24:c=0x505050:t=fill";

/// The first picture of a file as FFmpeg shows it, in grey, and its size.
fn shown(path: &Path, filter: &str) -> (usize, usize, Vec<u8>) {
    let filter = format!("{filter}scale=out_range=pc,format=gray");
    let args = [
        "-v",
        "error",
        "-i",
        text(path),
        "-frames:v",
        "1",
        "-vf",
        &filter,
        "-f",
        "image2pipe",
        "-c:v",
        "pgm",
        "-",
    ];
    let run = Command::new("ffmpeg").args(args).output().expect("ffmpeg starts");
    let head =
        run.stdout.iter().enumerate().filter(|b| *b.1 == b'\n').nth(2).expect("a head of three lines").0;
    let words = String::from_utf8_lossy(&run.stdout[..head]).into_owned();
    let size: Vec<usize> = words.split_whitespace().skip(1).map(|w| w.parse().expect("a number")).collect();
    (size[0], size[1], run.stdout[head + 1..].to_vec())
}

/// The brightness in the middle of each corner, from the upper left on.
fn corners(path: &Path) -> (usize, usize, [u8; 4]) {
    let (width, height, data) = shown(path, "");
    let at = |x: usize, y: usize| data[(y * height / 4) * width + x * width / 4];
    (width, height, [at(1, 1), at(3, 1), at(1, 3), at(3, 3)])
}

/// Copies an MP4 whose one track is to be turned clockwise. The matrix is written here: FFmpeg takes the angle as a tag up to 5.1
/// and as an option from 6.0 on, each without a word where it does not know it.
fn turn(from: &Path, degrees: u32, into: &Path) {
    let mut file = std::fs::read(from).expect("a file");
    let head = file.windows(4).position(|w| w == b"tkhd").expect("a header of a track");
    assert_eq!(file[head + 4], 0, "the header of 32-bit times");
    let (sine, cosine) = [(0, 1), (1, 0), (0, -1), (-1, 0)][degrees as usize / 90];
    // In 16.16, and the last column in 2.30.
    let matrix = [cosine << 16, sine << 16, 0, -sine << 16, cosine << 16, 0, 0, 0, 1 << 30];
    for (place, value) in file[head + 44..].chunks_exact_mut(4).zip(matrix) {
        place.copy_from_slice(&i32::to_be_bytes(value));
    }
    std::fs::write(into, file).expect("a file");
}

/// Encodes and decodes a file in the real-time mode; gives what was said.
fn through(input: &Path, back: &Path) -> String {
    let coded = back.with_extension("coded.mkv");
    let output = run(["encode", "-y", "--quality", "90", text(input), text(&coded)]);
    assert!(output.status.success(), "{}", stderr(&output));
    good(["decode", "-q", "-y", text(&coded), text(back)]);
    stderr(&output)
}

#[test]
fn pictures_are_turned_as_their_container_or_codec_says() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (plain, back) = (path("plain.mp4"), path("back.mkv"));
    ffmpeg(&["-f", "lavfi", "-i", CORNERS, "-c:v", "libx264", "-pix_fmt", "yuv420p", text(&plain)]);
    for degrees in [0, 90, 180, 270] {
        let turned = path("turned.mp4");
        turn(&plain, degrees, &turned);
        let said = through(&turned, &back);
        assert_eq!(said.contains("Rotating the frames by"), degrees != 0, "{said}");
        assert_alike(&back, &turned, &degrees.to_string());
    }
    for (name, message) in [
        ("sei.mkv", "display_orientation=insert:rotate=90"),
        ("sei.ts", "display_orientation=insert:rotate=270"),
        ("mirror.mkv", "display_orientation=insert:flip=horizontal"),
        ("water.mkv", "display_orientation=insert:flip=vertical"),
    ] {
        let turned = path(name);
        ffmpeg(&[
            "-i",
            text(&plain),
            "-c",
            "copy",
            "-bsf:v",
            &format!("h264_metadata={message}"),
            text(&turned),
        ]);
        let said = through(&turned, &back);
        assert!(said.contains("the frames"), "{name}: {said}");
        assert_alike(&back, &turned, name);
    }
}

/// Whether the corners are where FFmpeg shows them.
fn assert_alike(found: &Path, wanted: &Path, what: &str) {
    let (found, wanted) = (corners(found), corners(wanted));
    assert_eq!((found.0, found.1), (wanted.0, wanted.1), "{what}");
    let near = found.2.iter().zip(wanted.2).all(|(a, b)| a.abs_diff(b) < 12);
    assert!(near, "{what}: {:?}, not {:?}", found.2, wanted.2);
}

#[test]
fn pixels_keep_the_shape_that_their_container_states() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let back = path("back.mkv");
    let source = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=0.5,setsar=4/3"];
    for (name, codec) in [
        ("a.y4m", "wrapped_avframe"),
        ("ffv1.mkv", "ffv1"),
        ("vp8.webm", "libvpx"),
        ("h264.mp4", "libx264"),
        ("mpeg4.avi", "mpeg4"),
        ("mpeg4.mov", "mpeg4"),
        ("h264.ts", "libx264"),
        ("h264.mkv", "libx264"),
        ("raw.nut", "rawvideo"),
    ] {
        let input = path(name);
        ffmpeg(&[&source[..], &["-c:v", codec, "-pix_fmt", "yuv420p", text(&input)]].concat());
        through(&input, &back);
        let stated = &probe(&input, "v", "stream=sample_aspect_ratio")[0]["sample_aspect_ratio"];
        // WebM has whole columns on the screen, so 4:3 becomes 85:64.
        assert!(stated == "4:3" || stated == "85:64", "{name}: {stated}");
        assert_eq!(Some(aspect(&back).as_str()), stated.as_str(), "{name}");
    }
    // The container's word goes before the codec's.
    for name in ["again.mkv", "again.mp4"] {
        let input = path(name);
        ffmpeg(&["-i", text(&path("h264.mp4")), "-c", "copy", "-aspect", "8:3", text(&input)]);
        through(&input, &back);
        assert_eq!(aspect(&back), "2:1", "{name}");
    }
    let turned = path("turned.mp4");
    turn(&path("h264.mp4"), 90, &turned);
    through(&turned, &back);
    assert_eq!(aspect(&back), "3:4", "turned");
}

fn aspect(path: &Path) -> String {
    let frame = &probe(path, "v", "frame=sample_aspect_ratio")[0];
    frame["sample_aspect_ratio"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn black_and_white_stay_black_and_white_in_every_format() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (input, back) = (path("in.mkv"), path("back.mkv"));
    let bars = "color=black:s=99x64:r=5:d=0.4,format=gray,geq=lum='if(lt(X,49),30,220)'";
    for format in ["yuv420p10le", "yuv422p10le", "yuv444p12le", "gray", "gray10le", "rgb24"] {
        for range in ["tv", "pc"] {
            // What has no YUV is of full range, and FFmpeg writes it so whatever is asked for.
            if range == "tv" && (format.starts_with('g') || format.starts_with("rgb")) {
                continue;
            }
            let filter = format!("{bars},scale=in_range=pc:out_range={range},format={format}");
            let codec = if format == "rgb24" { "png" } else { "ffv1" };
            ffmpeg(&[
                "-f",
                "lavfi",
                "-i",
                &filter,
                "-color_range",
                range,
                "-c:v",
                codec,
                "-pix_fmt",
                format,
                text(&input),
            ]);
            through(&input, &back);
            let (width, height, data) = shown(&back, "");
            assert_eq!((width, height), (99, 64));
            let (dark, light) = (data[32 * 99 + 20], data[32 * 99 + 80]);
            assert!(dark.abs_diff(30) < 6 && light.abs_diff(220) < 6, "{format} {range}: {dark} and {light}");
        }
    }
}

#[test]
fn a_fitted_picture_of_odd_width_has_the_color_of_its_edge() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (input, coded, back) = (path("in.mkv"), path("coded.mkv"), path("back.y4m"));
    let flat = "color=0xc8285a:s=99x32:r=5:d=0.4";
    ffmpeg(&["-f", "lavfi", "-i", flat, "-c:v", "ffv1", "-pix_fmt", "yuv420p", text(&input)]);
    let options = ["--preset", "nerv-fast", "--epochs", "60", "--parameters", "4000", "--quality", "95"];
    good([&["encode", "-q", text(&input), text(&coded)], &options[..]].concat());
    good(["decode", "-q", text(&coded), text(&back)]);
    let data = std::fs::read(&back).expect("pictures");
    let head = data.windows(6).position(|w| w == b"FRAME\n").expect("a picture") + 6;
    for (plane, start) in [("U", 99 * 32), ("V", 99 * 32 + 50 * 16)] {
        let row = &data[head + start + 8 * 50..][..50];
        assert!(row[49].abs_diff(row[47]) < 12, "{plane}: {row:?}");
    }
}

#[test]
fn the_place_of_chroma_is_told_on() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (input, coded, back) = (path("in.y4m"), path("coded.mkv"), path("back.y4m"));
    let mut pictures = Vec::new();
    (0..3).for_each(|_| {
        pictures.extend_from_slice(b"FRAME\n");
        pictures.extend_from_slice(&[128; 32 * 32 * 3 / 2]);
    });
    for chroma in ["420jpeg", "420mpeg2", "420paldv"] {
        let head = format!("YUV4MPEG2 W32 H32 F25:1 Ip A1:1 C{chroma}\n");
        std::fs::write(&input, [head.as_bytes(), &pictures].concat()).expect("a file");
        for preset in [&[][..], &["--preset", "nerv-fast", "--epochs", "4", "--parameters", "4000"]] {
            good([&["encode", "-q", "-y", text(&input), text(&coded)], preset].concat());
            good(["decode", "-q", "-y", text(&coded), text(&back)]);
            let told = std::fs::read(&back).expect("pictures");
            let told = String::from_utf8_lossy(&told[..80]).into_owned();
            assert!(told.contains(&format!(" C{chroma} ")), "{chroma}: {told}");
        }
    }
}

#[test]
fn the_last_picture_stays_as_long_as_it_is_meant_to() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (gif, coded) = (path("a.gif"), path("a.mkv"));
    // Five pictures of 0.2 s; the last one stays for 3 s.
    ffmpeg(&["-f", "lavfi", "-i", "testsrc2=s=32x32:r=5:d=1", "-final_delay", "300", text(&gif)]);
    good(["encode", "-q", text(&gif), text(&coded)]);
    let seconds = json(&["info", text(&coded), "--json"])["seconds"].as_f64().expect("seconds");
    assert!((seconds - 3.8).abs() < 0.05, "{seconds}");
}

#[test]
fn interlaced_pictures_are_deinterlaced_and_that_is_said() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (input, back) = (path("in.mp4"), path("back.mkv"));
    let fields = "testsrc2=s=128x96:r=50:d=1,tinterlace=interleave_top,setfield=tff";
    let coding = ["-c:v", "libx264", "-flags", "+ilme+ildct", "-x264opts", "tff=1", "-pix_fmt", "yuv420p"];
    ffmpeg(&[&["-f", "lavfi", "-i", fields], &coding[..], &[text(&input)]].concat());
    let said = through(&input, &back);
    assert!(said.contains("Deinterlacing"), "{said}");
    assert_eq!(probe(&back, "v", "packet=pts").len(), 25);
    // As FFmpeg's own filter makes them, but for the coding.
    let (found, wanted) =
        (shown(&back, "select=eq(n\\,12),"), shown(&input, "bwdif=mode=send_frame,select=eq(n\\,12),"));
    let woven = shown(&input, "select=eq(n\\,12),");
    let off = |a: &[u8], b: &[u8]| {
        let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / a.len() as f64
    };
    let (near, far) = (off(&found.2, &wanted.2), off(&found.2, &woven.2));
    assert!(near < 4.0 && near < far, "{near} from what is deinterlaced, {far} from what is not");
}

#[test]
fn the_chroma_of_interlaced_pictures_in_4_2_2_is_not_mixed() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (input, back) = (path("in.mov"), path("back.mkv"));
    // As SDI and capture cards give it. In 4:2:0 both fields' chroma was mixed: U was at 36 dB of what it is below.
    let fields = "testsrc2=s=128x96:r=50:d=1,tinterlace=interleave_top,format=uyvy422,setfield=tff";
    let coding = ["-c:v", "rawvideo", "-field_order", "tt", "-top", "1", "-flags", "+ildct"];
    ffmpeg(&[&["-f", "lavfi", "-i", fields], &coding[..], &[text(&input)]].concat());
    good(["encode", "-q", "-y", "--quality", "95", text(&input), text(&path("c.mkv"))]);
    good(["decode", "-q", "-y", text(&path("c.mkv")), text(&back)]);
    let chroma = |path: &Path, filter: &str| {
        let filter = format!("{filter}extractplanes=u,select=eq(n\\,12)");
        let args = ["-v", "error", "-i", text(path), "-frames:v", "1", "-vf", &filter, "-f", "rawvideo", "-"];
        Command::new("ffmpeg").args(args).output().expect("ffmpeg starts").stdout
    };
    let wanted = chroma(
        &input,
        "format=yuv422p,bwdif=mode=send_frame,scale=flags=accurate_rnd+full_chroma_int+full_chroma_inp,format=yuv420p,",
    );
    let found = chroma(&back, "format=yuv420p,");
    let error: f64 = found.iter().zip(&wanted).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    let mean = error / wanted.len() as f64;
    // 45 dB.
    assert!(!wanted.is_empty() && mean < 2.06, "{mean} of {} samples", wanted.len());
}

#[test]
fn chapters_and_tags_are_kept_beside_pictures_and_sound() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let meta = path("meta");
    let text_of = ";FFMETADATA1\ntitle=Lecture one\nartist=Someone\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\n\
                   title=Intro\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=2000\ntitle=Main\n";
    std::fs::write(&meta, text_of).expect("a file");
    let input = path("in.mp4");
    let sources = ["-f", "lavfi", "-i", "testsrc2=s=32x32:r=10:d=2", "-f", "lavfi", "-i", "sine=440:d=2"];
    let options = ["-i", text(&meta), "-map_metadata", "2", "-map_chapters", "2", "-map", "0", "-map", "1"];
    ffmpeg(&[&sources[..], &options, &["-c:v", "mpeg4", "-c:a", "aac", text(&input)]].concat());
    for name in ["out.mka", "out.mkv"] {
        let coded = path(name);
        good(["encode", "-q", text(&input), text(&coded)]);
        let run = Command::new("ffprobe")
            .args([
                "-v",
                "error",
                "-show_chapters",
                "-show_entries",
                "format_tags",
                "-of",
                "json",
                text(&coded),
            ])
            .output()
            .expect("ffprobe starts");
        let all: serde_json::Value = serde_json::from_slice(&run.stdout).expect("JSON");
        let chapters = all["chapters"].as_array().expect("chapters");
        assert_eq!(chapters.len(), 2, "{name}: {all}");
        assert_eq!(chapters[1]["start_time"].as_str(), Some("1.000000"), "{name}");
        assert_eq!(chapters[1]["tags"]["title"].as_str(), Some("Main"), "{name}");
        let tags = all["format"]["tags"].as_object().expect("tags");
        let tag = |key: &str| tags.iter().find(|t| t.0.eq_ignore_ascii_case(key)).and_then(|t| t.1.as_str());
        assert_eq!((tag("title"), tag("artist")), (Some("Lecture one"), Some("Someone")), "{name}: {all}");
    }
}

/// Red, green and blue of a picture's left and right half, as FFmpeg shows it.
fn halves(path: &Path) -> [[u8; 3]; 2] {
    let args = ["-v", "error", "-i", text(path), "-frames:v", "1", "-vf"];
    let filter = "scale=flags=accurate_rnd+full_chroma_int,format=rgb24";
    let run = Command::new("ffmpeg")
        .args(args)
        .args([filter, "-f", "rawvideo", "-"])
        .output()
        .expect("ffmpeg starts");
    [20, 80].map(|x| std::array::from_fn(|i| run.stdout[3 * (32 * 98 + x) + i]))
}

#[test]
fn colors_keep_their_range_and_matrix_in_the_formats_of_cameras() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (input, back) = (path("in.mkv"), path("back.mkv"));
    let picture = "color=0xc8285a:s=98x64:r=5:d=0.4,drawbox=w=49:h=64:c=0x1e64c8:t=fill,format=gbrp";
    // Not P010, which FFmpeg 5.1 reads from Matroska as 15-bit RGB (findings/ffmpeg-p010-matroska.sh).
    for (format, codec) in [("yuv420p", "rawvideo"), ("nv12", "rawvideo"), ("yuv420p10le", "ffv1")] {
        for (range, matrix, name) in [
            ("tv", "bt709", "bt709"),
            ("pc", "bt709", "bt709"),
            ("tv", "bt601", "smpte170m"),
            ("pc", "bt601", "smpte170m"),
        ] {
            // The matrix is named to FFmpeg as it is asked for below: 7.1 makes a green picture of NV12 where both names of BT.601
            // meet (findings/ffmpeg-nv12-bt601.sh).
            let filter = format!(
                "{picture},scale=out_range={range}:out_color_matrix={matrix},format={format},\
                 setparams=colorspace={name}"
            );
            let source = ["-f", "lavfi", "-i", &filter, "-color_range", range, "-colorspace", name];
            ffmpeg(&[&source[..], &["-c:v", codec, "-allow_raw_vfw", "1", text(&input)]].concat());
            through(&input, &back);
            let told = &probe(&back, "v", "stream=color_range,color_space")[0];
            assert_eq!(
                (told["color_range"].as_str(), told["color_space"].as_str()),
                (Some(range), Some(name)),
                "{format}"
            );
            // The colors themselves, and not those that the input's tags make of it.
            for (found, wanted) in halves(&back).iter().zip([[0x1e, 0x64, 0xc8], [0xc8, 0x28, 0x5a]]) {
                let off = found.iter().zip(wanted).map(|(a, b)| a.abs_diff(b)).max();
                assert!(off <= Some(6), "{format} {range} {matrix}: {found:?}, not {wanted:?}");
            }
        }
    }
}
