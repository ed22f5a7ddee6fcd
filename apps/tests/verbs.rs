//! The smaller verbs and the machine-readable output.

mod common;

use common::*;

#[test]
fn json_lines_have_a_type_and_a_result() {
    let folder = folder();
    let coded = coded(folder.path(), 2.0, &[]);
    let source = folder.path().join("in.wav");
    let lines = ndjson(&good(["encode", "-y", "--json", text(&source), text(&coded)]));
    let result = lines.last().expect("a result");
    assert_eq!((&result["type"], &result["verb"]), (&"result".into(), &"encode".into()));
    assert_eq!(result["samples"], 48_000);
    assert_eq!(result["bytes"], std::fs::metadata(&coded).expect("a file").len());
    assert!(lines.iter().any(|l| l["type"] == "progress" && l["speed"].as_f64() > Some(0.0)));
    let out = folder.path().join("out.wav");
    let lines = ndjson(&good(["decode", "--json", text(&coded), text(&out)]));
    let result = lines.last().expect("a result");
    assert_eq!((&result["samples"], &result["truncated"]), (&48_000.into(), &false.into()));
    let failed = run(["decode", "--json", "missing.mka", text(&out)]);
    assert_eq!(ndjson(&failed.stdout)[0]["type"], "error");
    assert_fails(&run(["decode", "--json", text(&coded), "-"]), 2, "--json");
}

#[test]
fn progress_on_stderr() {
    let folder = folder();
    let coded = coded(folder.path(), 2.0, &[]);
    let source = folder.path().join("in.wav");
    let output = run(["encode", "-y", "--progress", text(&source), text(&coded)]);
    let said = stderr(&output);
    assert!(said.lines().any(|l| l.contains("x  ") && l.contains("kb/s") && l.contains("ETA")), "{said}");
    assert!(output.stdout.is_empty());
    assert!(stderr(&run(["encode", "-y", "-q", text(&source), text(&coded)])).is_empty());
}

#[test]
fn info_tells_what_the_file_holds() {
    let folder = folder();
    let coded = coded(folder.path(), 10.0, &["--stages", "6"]);
    let info = &ndjson(&good(["info", "--json", text(&coded)]))[0];
    assert_eq!((&info["codec"], &info["model"]), (&"A_SISKIN".into(), &"speech-24k".into()));
    assert_eq!((&info["sample_rate"], &info["channels"]), (&24_000.into(), &1.into()));
    assert_eq!((&info["frames"], &info["packets"]), (&501.into(), &11.into()));
    assert_eq!((&info["code_bitrate"], &info["model_installed"]), (&6000.0.into(), &true.into()));
    let (rate, share) = (info["bitrate"].as_f64(), info["container_share"].as_f64());
    assert!(rate > Some(5500.0) && rate < Some(7000.0) && share < Some(0.15), "{info}");
    let text_out = String::from_utf8(good(["info", text(&coded)])).expect("UTF-8");
    assert!(text_out.contains("0:10.00 (240000 samples)") && text_out.contains("6 of 9"), "{text_out}");
}

#[test]
fn compare_tells_good_from_bad() {
    let folder = folder();
    let clip = clip("speech-be.flac");
    let same = &ndjson(&good(["compare", "--json", text(&clip), text(&clip)]))[0];
    assert!(same["stoi"].as_f64() > Some(0.9999) && same["mel_distance"] == 0.0, "{same}");
    let stoi = |rate: &str| {
        let coded = folder.path().join("a.mka");
        good(["encode", "-y", "--bitrate", rate, text(&clip), text(&coded)]);
        let found = ndjson(&good(["compare", "--json", text(&clip), text(&coded)])).remove(0);
        assert_eq!(found["bits"], 8 * std::fs::metadata(&coded).expect("a file").len());
        found["stoi"].as_f64().expect("a number")
    };
    assert!(stoi("9k") > stoi("1k"));
    let table =
        String::from_utf8(good(["compare", text(&clip), text(&folder.path().join("a.mka"))])).expect("UTF-8");
    assert!(table.contains("SI-SDR") && table.contains("STOI") && table.contains("kb/s"), "{table}");
    assert_fails(&run(["compare", text(&clip), "missing.wav"]), 1, "missing.wav");
}

#[test]
fn bench_measures() {
    let found = &ndjson(&good(["bench", "--json", "--seconds", "2"]))[0];
    for side in ["encode", "decode"] {
        assert_eq!(found[side]["frames"], 100);
        for part in ["whole_us", "network_us", "rest_us"] {
            let (p50, max) = (found[side][part]["p50"].as_f64(), found[side][part]["max"].as_f64());
            assert!(p50 > Some(0.0) && max >= p50, "{found}");
        }
        assert!(found[side]["real_time_factor"].as_f64() > Some(0.0));
    }
    assert!(found["peak_memory_bytes"].as_u64() > Some(1 << 20));
    assert!(found["first_samples_ms"].as_f64() > found["first_packet_ms"].as_f64());
    let bytes = |name: &str| found["files"][name].as_u64().expect("a number");
    assert!(bytes("bytes") <= bytes("fixed_width_bytes"), "{found}");
    let clip = clip("speech-be.flac");
    let table = good(["bench", "--seconds", "1", "--streams", "3", text(&clip)]);
    let table = String::from_utf8(table).expect("UTF-8");
    assert!(table.contains("real-time factor") && table.contains("outside the network"), "{table}");
    assert!(table.contains("3 streams on "), "{table}");
    assert_fails(&run(["bench", "--stages", "10"]), 2, "1 to 9");
}

#[test]
fn models_are_listed_and_verified() {
    let models = ndjson(&good(["models", "--json"]));
    let model = models.iter().find(|m| m["name"] == "speech-24k").expect("the bundle");
    assert_eq!(model["bitrates"], serde_json::json!([1000, 2000, 3000, 6000, 9000]));
    assert!(String::from_utf8(good(["models", "list"])).expect("UTF-8").contains("1/2/3/6/9 kb/s"));
    assert!(!good(["models", "path"]).is_empty());
    assert!(
        String::from_utf8(good(["models", "verify", "speech-24k"]))
            .expect("UTF-8")
            .contains("all hashes fit")
    );
    assert_fails(&run(["models", "verify", "nonsense"]), 1, "nonsense");
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = String::from_utf8(good(["completions", shell])).expect("UTF-8");
        assert!(script.contains("siskin") && script.contains("stages"), "{shell}");
    }
    assert_eq!(run(["completions", "dos"]).status.code(), Some(2));
}

#[test]
fn playing_to_a_device_that_discards() {
    let folder = folder();
    let coded = coded(folder.path(), 2.0, &[]);
    // ALSA's null device is always there and takes everything at once.
    let lines = ndjson(&good(["play", "--json", "--device", "null", text(&coded)]));
    assert_eq!(lines.last().expect("a result")["seconds"], 2.0);
    let lines = ndjson(&good(["play", "--json", "--device", "null", "--start", "1.5", text(&coded)]));
    assert_eq!(lines.last().expect("a result")["seconds"], 0.5);
    assert_fails(&run(["play", "--device", "no such thing", text(&coded)]), 1, "no sound device");
    assert_fails(&run(["play", "--start", "3", text(&coded)]), 2, "0 to 2.00");
    good(["play", "--list-devices"]);
}

#[test]
fn usage_errors_are_two() {
    for args in
        [&["encode"][..], &["nonsense"], &["encode", "a.wav", "b.mka", "--bitrate", "fast"], &["play"]]
    {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
    assert!(String::from_utf8(good(["--help"])).expect("UTF-8").contains("Usage: siskin"));
    for verb in ["encode", "decode", "play", "info", "verify", "compare", "bench", "models", "completions"] {
        assert!(!good([verb, "--help"]).is_empty());
    }
}

#[test]
fn a_model_of_another_stream_or_kind_is_told_of() {
    let folder = folder();
    let coded = coded(folder.path(), 1.0, &[]);
    let (source, back) = (folder.path().join("in.wav"), folder.path().join("back.wav"));
    let output = run(["decode", "-m", "audio-48k", text(&coded), text(&back)]);
    assert_fails(&output, 2, "--model is audio-48k");
    assert!(stderr(&output).contains("was coded with speech-24k"), "{}", stderr(&output));
    let output = run(["encode", "-y", "-m", "video-realtime", text(&source), text(&coded)]);
    assert_fails(&output, 1, "of kind video, not audio");
    let output = run(["encode", "-y", "--video-bitrate", "100k", text(&source), text(&coded)]);
    assert_fails(&output, 2, "--video-bitrate");
}

#[test]
fn a_full_disk_is_named() {
    let folder = folder();
    let coded = coded(folder.path(), 1.0, &[]);
    let source = folder.path().join("in.wav");
    let full = "/dev/full";
    assert_fails(&run(["encode", "-y", text(&source), full]), 1, "/dev/full cannot be written");
    let output = run(["decode", "-y", text(&coded), full]);
    assert_fails(&output, 1, "/dev/full");
}
