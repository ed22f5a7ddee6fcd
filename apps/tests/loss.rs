//! Simulated losses, copies that bring frames back, and pauses.

mod common;

use std::fs;

use common::*;

/// Decodes with these arguments and gives the result line and the number of samples.
fn lose(coded: &std::path::Path, args: &[&str]) -> (serde_json::Value, usize) {
    let out = coded.with_extension("f32");
    let stdout = good([&["decode", "-y", "--json", text(coded), text(&out)], args].concat());
    let result = ndjson(&stdout).into_iter().rfind(|l| l["type"] == "result").expect("a result");
    (result, fs::metadata(&out).expect("a file").len() as usize / 4)
}

#[test]
fn losses_are_bridged_counted_and_repeatable() {
    let folder = folder();
    let coded = coded(folder.path(), 6.0, &["--frames-per-packet", "1"]);
    let (whole, samples) = lose(&coded, &[]);
    assert_eq!((&whole["packets_dropped"], &whole["frames_lost"]), (&0.into(), &0.into()));
    for model in ["random", "burst"] {
        let args = ["--loss", "20%", "--loss-model", model, "--seed", "3"];
        let (first, length) = lose(&coded, &args);
        assert_eq!(length, samples, "the length is kept");
        let dropped = first["packets_dropped"].as_u64().expect("a count");
        assert!((20..120).contains(&dropped), "{dropped} of 301");
        assert_eq!(first["frames_lost"], dropped);
        assert_eq!((&first["frames_recovered"], &first["frames_concealed"]), (&0.into(), &dropped.into()));
        assert_eq!(lose(&coded, &args).0["packets_dropped"], dropped);
    }
}

#[test]
fn copies_bring_back_what_they_reach_and_cost_what_is_said() {
    let folder = folder();
    let plain = coded(folder.path(), 6.0, &["--stages", "6", "--frames-per-packet", "1"]);
    let bare = fs::metadata(&plain).expect("a file").len();
    let repeated = coded(
        folder.path(),
        6.0,
        &["--stages", "6", "--frames-per-packet", "1", "--redundancy", "2", "--redundancy-stages", "1"],
    );
    let info = &ndjson(&good(["info", "--json", text(&repeated)]))[0];
    let rate = info["redundancy_bitrate"].as_f64().expect("a rate");
    let larger = (fs::metadata(&repeated).expect("a file").len() - bare) as f64;
    assert!(rate > 1000.0 && (larger - rate * 6.0 / 8.0).abs() < 100.0, "{larger} bytes more for {rate} b/s");
    let (result, _) = lose(&repeated, &["--loss", "10%", "--seed", "2"]);
    let count = |key: &str| result[key].as_u64().expect("a count");
    assert!(count("frames_lost") > 10);
    assert!(count("frames_recovered") * 10 >= count("frames_lost") * 8, "{result}");
    good(["verify", text(&repeated)]);
    let refused = run(["encode", "x.wav", "x.mka", "--redundancy", "9"]);
    assert!(refused.status.code() == Some(2) && stderr(&refused).contains("0..=8"), "{}", stderr(&refused));
}

#[test]
fn impossible_losses_are_refused() {
    let folder = folder();
    let coded = coded(folder.path(), 1.0, &[]);
    for (args, said) in [
        (&["--loss", "95%"][..], "0 to 90%"),
        (&["--loss", "80%", "--loss-model", "burst"], "--loss-burst must be 4.0 or more"),
        (&["--loss", "5%", "--loss-model", "burst", "--loss-burst", "0"], "1 to 1000"),
        (&["--seed", "4"], "--loss"),
    ] {
        let output = run([&["decode", text(&coded), "x.wav"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

#[test]
fn pauses_are_kept_told_and_cheap() {
    let folder = folder();
    let mut pcm = voice(48_000, 24_000);
    pcm.resize(48_000 + 240_000, 0.0);
    pcm.extend(voice(24_000, 24_000));
    let source = folder.path().join("pause.wav");
    wav(&source, &pcm, 24_000, 1);
    for frame_size in ["1", "50"] {
        let coded = folder.path().join("pause.mka");
        good(["encode", "-y", "-q", "--dtx", "--frames-per-packet", frame_size, text(&source), text(&coded)]);
        let (result, samples) = lose(&coded, &[]);
        assert_eq!(samples, pcm.len(), "{frame_size} frames a packet");
        assert_eq!((&result["concealed_samples"], &result["frames_lost"]), (&0.into(), &0.into()));
        let info = &ndjson(&good(["info", "--json", text(&coded)]))[0];
        assert!(info["pause_share"].as_f64().is_some_and(|s| (0.7..0.8).contains(&s)), "{info}");
        assert!(info["pause_bitrate"].as_f64().is_some_and(|r| r < 200.0), "{info}");
        assert_eq!(info["samples"], pcm.len());
        let verified = run(["verify", text(&coded)]);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
}
