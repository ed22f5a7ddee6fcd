//! Colour through the program: matrix and range of the source are kept and used, in fits and in real time.

mod common;

use common::{ffmpeg, folder, good, text};
use serde_json::Value;

const PIXELS: usize = 48 * 32;
const COLOUR: [f64; 3] = [200.0, 40.0, 90.0];

/// The means of three planes of the first frame: interleaved RGB, or Y, U and V of 4:2:0.
fn means(data: &[u8], is_rgb: bool) -> [f64; 3] {
    let mean = |values: &mut dyn Iterator<Item = u8>| {
        let all: Vec<_> = values.map(f64::from).collect();
        all.iter().sum::<f64>() / all.len() as f64
    };
    std::array::from_fn(|c| match is_rgb {
        true => mean(&mut data[..3 * PIXELS].iter().skip(c).step_by(3).copied()),
        false => {
            let (start, count) = [(0, PIXELS), (PIXELS, PIXELS / 4), (PIXELS * 5 / 4, PIXELS / 4)][c];
            mean(&mut data[start..start + count].iter().copied())
        }
    })
}

fn assert_near(found: [f64; 3], wanted: [f64; 3], most: f64, what: &str) {
    let near = found.iter().zip(wanted).all(|(a, b)| (a - b).abs() <= most);
    assert!(near, "{what}: {found:?}, not {wanted:?}");
}

#[test]
fn matrix_and_range_are_kept_and_used() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (clip, raw, coded) = (path("a.mkv"), path("a.yuv"), path("b.mkv"));
    for (space, code, range, is_full) in [
        ("bt709", 1, "tv", false),
        ("bt709", 1, "pc", true),
        ("smpte170m", 6, "tv", false),
        ("smpte170m", 6, "pc", true),
    ] {
        let colorimetry =
            format!("color=c=0x{:02x}{:02x}{:02x}:size=48x32:rate=25:duration=0.16", 200, 40, 90);
        let filter = format!("format=gbrp,scale=out_color_matrix={space}:out_range={range},format=yuv420p");
        let tags = ["-colorspace", space, "-color_range", range];
        ffmpeg(
            &[
                &["-f", "lavfi", "-i", &colorimetry, "-vf", &filter],
                &tags[..],
                &["-c:v", "ffv1", text(&clip)],
            ]
            .concat(),
        );
        ffmpeg(&["-i", text(&clip), "-f", "rawvideo", text(&raw)]);
        let source = means(&std::fs::read(&raw).expect("raw video"), false);
        let what = format!("{space} {range}");
        // A fit knows a flat picture only roughly after a few passes.
        let fit = ["--preset", "nerv-fast", "--threads", "2", "--epochs", "100", "--parameters", "4000"];
        for (options, most) in [(&["--quality", "95"][..], 3.0), (&fit[..], 7.0)] {
            good([&["encode", text(&clip), text(&coded), "-y"], options].concat());
            let info = good(["info", text(&coded), "--json"]);
            let info: Value = serde_json::from_slice(&info).expect("JSON");
            assert_eq!(
                (info["matrix"].as_u64(), info["full_range"].as_bool()),
                (Some(code), Some(is_full)),
                "{what}"
            );
            let (rgb, y4m) = (path("b.rgb"), path("b.y4m"));
            good(["decode", text(&coded), text(&rgb), "-y"]);
            assert_near(
                means(&std::fs::read(&rgb).expect("RGB"), true),
                COLOUR,
                most,
                &format!("{what} {options:?} RGB"),
            );
            good(["decode", text(&coded), text(&y4m), "-y"]);
            let data = std::fs::read(&y4m).expect("YUV");
            let head = data.windows(6).position(|w| w == b"FRAME\n").expect("a frame");
            let told = String::from_utf8_lossy(&data[..head]).into_owned();
            assert!(
                told.contains(if is_full { "XCOLORRANGE=FULL" } else { "XCOLORRANGE=LIMITED" }),
                "{told}"
            );
            assert_near(means(&data[head + 6..], false), source, most, &format!("{what} {options:?} YUV"));
        }
    }
}
