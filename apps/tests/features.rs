//! `siskin features`: pictures and video to features and those to what is found in them.

mod common;

use std::fs;
use std::path::Path;

use common::*;

fn picture() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/features/text.png").to_owned()
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).expect("a file");
    text.lines().map(|l| serde_json::from_str(l).expect("a JSON object")).collect()
}

#[test]
fn text_in_a_picture_is_found_from_its_features() {
    let folder = folder();
    let [coded, found, maps] = ["a.mkv", "a.jsonl", "maps"].map(|n| folder.path().join(n));
    let encoded =
        ndjson(&good(["features", "encode", "--json", &picture(), text(&coded), "--level", "1"])).pop();
    let encoded = encoded.expect("a result");
    assert_eq!((encoded["frames"].as_u64(), encoded["level"].as_u64()), (Some(1), Some(1)));
    good(["features", "decode", text(&coded), text(&found), "--maps", text(&maps)]);
    let frames = lines(&found);
    assert_eq!(frames.len(), 1);
    let objects = frames[0]["objects"].as_array().expect("objects");
    // Two lines, of which the larger one lies around the middle.
    let large = objects.iter().any(|o| {
        let x = |i: usize| o["corners"][i][0].as_f64().expect("a number");
        let width = (0..4).map(x).fold(f64::MIN, f64::max) - (0..4).map(x).fold(f64::MAX, f64::min);
        width > 150.0 && o["score"].as_f64() > Some(0.5)
    });
    assert!(large, "{objects:?}");
    // What the second head says of each.
    let is_told =
        |o: &serde_json::Value| o["properties"]["title"].as_f64().is_some_and(|p| (0.0..=1.0).contains(&p));
    assert!(!objects.is_empty() && objects.iter().all(is_told), "{objects:?}");
    let map = fs::read(maps.join("title-000001.pgm")).expect("a map");
    assert!(map.starts_with(b"P5\n320 192\n255\n") && map.len() == 15 + 320 * 192);
    let map = fs::read(maps.join("text-000001.pgm")).expect("a map");
    assert!(map.starts_with(b"P5\n320 192\n255\n") && map.len() == 15 + 320 * 192);
    assert!(map[15 + 96 * 320 + 60..15 + 96 * 320 + 260].iter().filter(|&&v| v > 128).count() > 80);
    let info = String::from_utf8(good(["features", "info", text(&coded)])).expect("UTF-8");
    assert!(info.contains("320x192, 1 frames") && info.contains("text-features"), "{info}");
}

#[test]
fn pictures_of_any_range_and_matrix_give_the_features_that_they_have_in_rgb() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let bytes = |input: &Path| {
        let result = json(&["features", "encode", "-y", "--json", text(input), text(&path("a.mkv"))]);
        result["packet_bytes"].as_f64().expect("bytes")
    };
    let wanted = bytes(Path::new(&picture()));
    // A camera's JPEG is of full range: its packets were a third larger, and the second head's answers others.
    for (name, filter) in [
        ("full.mkv", "scale=out_range=pc:out_color_matrix=bt601,format=yuvj420p"),
        ("hd.mkv", "scale=out_range=tv:out_color_matrix=bt709,format=yuv420p,setparams=colorspace=bt709"),
    ] {
        ffmpeg(&["-i", &picture(), "-vf", filter, "-c:v", "ffv1", text(&path(name))]);
        let found = bytes(&path(name));
        assert!((found / wanted - 1.0).abs() < 0.06, "{name}: {found} in place of {wanted}");
    }
}

#[test]
fn a_damaged_packet_is_left_out_with_a_warning() {
    let folder = folder();
    let [clip, coded, found] = ["in.mkv", "a.mkv", "a.jsonl"].map(|n| folder.path().join(n));
    ffmpeg(&["-loop", "1", "-i", &picture(), "-frames:v", "5", "-c:v", "ffv1", text(&clip)]);
    good(["features", "encode", text(&clip), text(&coded)]);
    let mut data = fs::read(&coded).expect("a file");
    // Packets begin with version 1 and level 2, and the size 320x192 stands behind the bundle's two bytes.
    let heads: Vec<usize> = (0..data.len() - 7)
        .filter(|&i| data[i] == 0x22 && data[i + 3..i + 7] == [0xc0, 0x02, 0xc0, 0x01])
        .collect();
    assert_eq!(heads.len(), 5);
    // The second packet's width becomes 0.
    data[heads[1] + 3] = 0;
    fs::write(&coded, data).expect("a file");
    let output = run(["features", "decode", "--json", text(&coded), text(&found)]);
    assert!(output.status.success());
    let events = ndjson(&output.stdout);
    assert!(events[0]["message"].as_str().is_some_and(|m| m.contains("packet 1 was left out")), "{events:?}");
    let result = events.last().expect("a result");
    assert_eq!((result["frames"].as_u64(), result["broken_packets"].as_u64()), (Some(4), Some(1)));
    assert_eq!(lines(&found).len(), 4);
}

#[test]
fn mistakes_are_told() {
    let folder = folder();
    let coded = folder.path().join("a.mkv");
    assert_fails(&run(["features", "encode", &picture(), text(&coded), "--level", "31"]), 2, "level");
    assert!(!coded.exists());
    assert_fails(&run(["features", "info", &picture()]), 1, "");
    assert_fails(&run(["features", "encode", "-m", "no-such", &picture(), text(&coded)]), 1, "no-such");
}
