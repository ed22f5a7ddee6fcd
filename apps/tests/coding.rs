//! Entropy coding and rate control.

mod common;

use common::*;

fn info(path: &std::path::Path) -> serde_json::Value {
    ndjson(&good(["info", "--json", text(path)])).remove(0)
}

#[test]
fn range_coding_changes_the_bytes_and_not_the_sound() {
    let folder = folder();
    let (small, plain) = (folder.path().join("small.mka"), folder.path().join("plain.mka"));
    let source = clip("speech-it-male.flac");
    // Where bits weigh nothing, both have the same codes.
    good(["encode", "--stages", "6", "--lambda", "0", text(&source), text(&small)]);
    good(["encode", "--stages", "6", "--fixed-width", text(&source), text(&plain)]);
    assert_eq!(info(&plain)["coding"], "fixed width");
    assert_eq!(decode(&small, &[]), decode(&plain, &[]));
    assert_eq!(info(&small)["code_bitrate"], info(&plain)["code_bitrate"]);
    assert_eq!(decode(&small, &["--stages", "2"]), decode(&plain, &["--stages", "2"]));
    for path in [&small, &plain] {
        good(["verify", text(path)]);
    }
    let bytes = |path| info(path)["packet_bytes"].as_u64().expect("a number");
    if info(&small)["range_coded_packets"] != 0 {
        assert!(bytes(&small) < bytes(&plain), "{} {}", bytes(&small), bytes(&plain));
    }
}

#[test]
fn bits_that_weigh_make_files_smaller() {
    let folder = folder();
    let source = clip("speech-it-male.flac");
    let bytes = |weight: &str| {
        let coded = folder.path().join(format!("{weight}.mka"));
        good(["encode", "--stages", "6", "--lambda", weight, text(&source), text(&coded)]);
        info(&coded)["packet_bytes"].as_u64().expect("a number")
    };
    let sizes = ["0", "0.4", "1"].map(bytes);
    assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2], "{sizes:?}");
    let out = folder.path().join("x.mka");
    assert_fails(&run(["encode", "--lambda", "5", text(&source), text(&out)]), 2, "0 to 4");
}

#[test]
fn encode_and_info_tell_one_rate_of_codes() {
    let folder = folder();
    let (source, coded) = (folder.path().join("a.wav"), folder.path().join("a.mka"));
    // With a pause in it for DTX.
    let mut samples = voice(24_000 * 4, 24_000);
    samples.splice(40_000..40_000, vec![0.0; 48_000]);
    wav(&source, &samples, 24_000, 1);
    for more in [&[][..], &["--dtx"], &["--stages", "6"], &["--fixed-width", "--redundancy", "2"]] {
        let options = [&["encode", "-y", "--json", text(&source), text(&coded)], more].concat();
        let told = json(&options)["code_bitrate"].as_f64().expect("a number");
        let found = info(&coded)["code_bitrate"].as_f64().expect("a number");
        assert!((told - found).abs() < 0.01, "{more:?}: {told} {found}");
    }
}

#[test]
fn a_variable_rate_is_what_packets_take() {
    let folder = folder();
    let (source, coded) = (folder.path().join("a.wav"), folder.path().join("a.mka"));
    wav(&source, &voice(24_000 * 20, 24_000), 24_000, 1);
    for more in [&[][..], &["--vbr"], &["--rate-control", "vbr", "--fixed-width"]] {
        let options = [&["encode", "-y", "--bitrate", "5500"], more, &[text(&source), text(&coded)]].concat();
        good(options);
        let info = info(&coded);
        let rate = info["packet_bitrate"].as_f64().expect("a number");
        assert!((rate / 5500.0 - 1.0).abs() < 0.03, "{info}");
        assert_eq!(info["variable"], true, "{info}");
        assert_eq!(decode(&coded, &[]).len(), 24_000 * 20);
        assert_eq!(decode(&coded, &["--stages", "1"]).len(), 24_000 * 20);
        good(["verify", text(&coded)]);
    }
    for constant in [&["--rate-control", "constant", "--bitrate", "5500"][..], &["--stages", "5"]] {
        good([&["encode", "-y"], constant, &[text(&source), text(&coded)]].concat());
        let info = info(&coded);
        assert_eq!(info["variable"], false, "{info}");
    }
    let output = run(["encode", "-y", "--vbr", "--bitrate", "50", text(&source), text(&coded)]);
    assert_fails(&output, 2, "--bitrate is 50 b/s");
}
