//! Encoding and decoding: lengths to the sample, rates, formats, pipes.

mod common;

use common::*;

#[test]
fn every_length_is_kept_to_the_sample() {
    let folder = folder();
    let source = folder.path().join("a.wav");
    let coded = folder.path().join("a.mka");
    for length in [1, 239, 240, 241, 479, 480, 481, 24_000, 24_001, 50_123] {
        wav(&source, &voice(length, 24_000), 24_000, 1);
        good(["encode", "-y", text(&source), text(&coded)]);
        assert_eq!(decode(&coded, &[]).len(), length);
        let info = &ndjson(&good(["info", "--json", text(&coded)]))[0];
        assert_eq!(info["samples"], length);
        assert_eq!(info["truncated"], false);
        assert_eq!(info["faults"], 0);
    }
}

#[test]
fn other_rates_and_channels_are_converted_with_a_message() {
    let folder = folder();
    let (source, coded) = (folder.path().join("a.wav"), folder.path().join("a.mka"));
    for (rate, channels) in [(8000, 1), (16_000, 1), (44_100, 2), (48_000, 6)] {
        let seconds = 1.7;
        wav(&source, &voice((seconds * f64::from(rate)) as usize, rate), rate, channels);
        let output = run(["encode", "-y", text(&source), text(&coded)]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains(&format!("Resampling from {rate} Hz to 24000 Hz")));
        assert_eq!(stderr(&output).contains("down to mono; --audio general keeps two"), channels > 1);
        assert_eq!(decode(&coded, &[]).len(), (seconds * 24_000.0) as usize, "{rate} Hz");
    }
}

#[test]
fn the_models_own_rate_is_not_resampled() {
    let folder = folder();
    let source = folder.path().join("a.wav");
    wav(&source, &voice(24_000, 24_000), 24_000, 1);
    let output = run(["encode", text(&source), text(&folder.path().join("a.mka"))]);
    assert!(output.status.success() && !stderr(&output).contains("Resampling"), "{}", stderr(&output));
}

#[test]
fn speech_comes_back_as_speech() {
    let folder = folder();
    for name in ["speech-be.flac", "speech-it-male.flac"] {
        let coded = folder.path().join("a.mka");
        good(["encode", "-y", "--bitrate", "9k", text(&clip(name)), text(&coded)]);
        let found = &ndjson(&good(["compare", "--json", text(&clip(name)), text(&coded)]))[0];
        assert_eq!(found["reference_samples"], found["output_samples"]);
        // Below this words are lost; a shift of a few milliseconds or a wrong code falls far below.
        assert!(found["stoi"].as_f64().expect("a number") > 0.75, "{name}: {found}");
    }
}

#[test]
fn pipes_give_what_files_give() {
    let folder = folder();
    // With a variable rate the headers that a live stream repeats count too, and less is left for the codes.
    let constant = ["--rate-control", "constant"];
    let coded = coded(folder.path(), 2.5, &constant);
    let source = std::fs::read(folder.path().join("in.wav")).expect("a file");
    let piped = run_with(&[&["encode", "-", "-"], &constant[..]].concat(), source);
    assert!(piped.status.success(), "{}", stderr(&piped));
    let wav = run_with(&["decode", "--float", "-", "-"], piped.stdout.clone());
    assert!(wav.status.success(), "{}", stderr(&wav));
    // A device's name says no format, and is none of a file that lacks one.
    let device = run_with(&["decode", "--float", "-", "/dev/stdout"], piped.stdout);
    assert_eq!(device.stdout, wav.stdout, "{}", stderr(&device));
    let expected: Vec<u8> = decode(&coded, &[]).into_iter().flat_map(f32::to_le_bytes).collect();
    assert!(wav.stdout.starts_with(b"RIFF"));
    assert!(wav.stdout.ends_with(&expected), "the same samples behind the header");
    assert!(wav.stdout.len() < expected.len() + 200);
    let (fifo, again) = (folder.path().join("fifo"), folder.path().join("again.mka"));
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    let (source, end) = (std::fs::read(folder.path().join("in.wav")).expect("a file"), fifo.clone());
    let writer = std::thread::spawn(move || std::fs::write(end, source));
    good([&["encode", text(&fifo), text(&again)], &constant[..]].concat());
    writer.join().expect("no panic").expect("it is read to the end");
    assert_eq!(std::fs::read(again).expect("a file"), std::fs::read(coded).expect("a file"));
}

#[test]
fn wav_samples_are_the_decoders_own() {
    let folder = folder();
    let coded = coded(folder.path(), 1.3, &[]);
    let exact = decode(&coded, &[]);
    let out = folder.path().join("out.wav");
    good(["decode", "--float", text(&coded), text(&out)]);
    let mut float = hound::WavReader::open(&out).expect("a WAV file");
    assert_eq!(float.spec().sample_rate, 24_000);
    assert!(float.samples::<f32>().map(|s| s.expect("a sample")).eq(exact.iter().copied()));
    good(["decode", "-y", text(&coded), text(&out)]);
    let mut short = hound::WavReader::open(&out).expect("a WAV file");
    assert_eq!(short.spec().bits_per_sample, 16);
    let near = |(s, e): (i16, &f32)| (f32::from(s) - e * 32_768.0).abs() <= 1.0 || e.abs() >= 1.0;
    let mut pairs = short.samples::<i16>().map(|s| s.expect("a sample")).zip(&exact);
    assert!(pairs.all(near));
}

#[test]
fn other_formats_by_their_extension() {
    let folder = folder();
    let coded = coded(folder.path(), 1.3, &[]);
    for (name, exact) in
        [("a.flac", true), ("a.ogg", true), ("a.opus", true), ("a.mp3", false), ("a.m4a", false)]
    {
        let out = folder.path().join(name);
        good(["decode", text(&coded), text(&out)]);
        let found = &ndjson(&good(["compare", "--json", text(&coded), text(&out)]))[0];
        let samples = found["output_samples"].as_u64().expect("a number");
        let off = samples.abs_diff(31_200);
        assert!(off <= if exact { 1 } else { 3000 }, "{name}: {samples}");
    }
    // Matroska holds what was decoded, also without video beside it: FFmpeg's own choice would be Vorbis.
    for (options, codec) in [(&[][..], "flac"), (&["--float"], "pcm_f32le")] {
        let out = folder.path().join(format!("{codec}.mka"));
        good([&["decode", text(&coded), text(&out)], options].concat());
        let stream = &probe(&out, "a", "stream=codec_name,sample_rate")[0];
        assert_eq!((&stream["codec_name"], &stream["sample_rate"]), (&codec.into(), &"24000".into()));
        let found = &ndjson(&good(["compare", "--json", text(&coded), text(&out)]))[0];
        // Matroska's times are whole milliseconds.
        let off = found["output_samples"].as_u64().map(|n| n.abs_diff(31_200));
        assert!(off.is_some_and(|off| off <= 1), "{codec}: {found}");
    }
    assert_fails(&run(["decode", text(&coded), text(&folder.path().join("a.xyz"))]), 2, ".xyz");
    assert_fails(&run(["decode", text(&coded), text(&folder.path().join("plain"))]), 2, "extension");
    assert_fails(&run(["decode", "--float", text(&coded), text(&folder.path().join("b.flac"))]), 2, "float");
}

#[test]
fn a_prefix_of_the_codebooks_is_the_lower_rate() {
    let folder = folder();
    // With a search of width 1 for the nearest codes the first stages do not depend on those behind.
    let nearest = ["--search-width", "1", "--lambda", "0"];
    let high = coded(folder.path(), 1.5, &[&["--stages", "6"], &nearest[..]].concat());
    let prefix = decode(&high, &["--stages", "2"]);
    let whole = decode(&high, &[]);
    let low = decode(&coded(folder.path(), 1.5, &[&["--stages", "2"], &nearest[..]].concat()), &[]);
    assert_eq!(prefix, low);
    assert_ne!(prefix, whole);
    assert_eq!(prefix.len(), whole.len());
}

#[test]
fn rates_are_as_asked_and_ranges_are_told() {
    let folder = folder();
    for (rate, stages) in [("1k", 1), ("3k", 3), ("6000", 6), ("9k", 9), ("7.3k", 7)] {
        let coded = coded(folder.path(), 1.0, &["--rate-control", "constant", "--bitrate", rate]);
        let info = &ndjson(&good(["info", "--json", text(&coded)]))[0];
        assert_eq!(info["stages_highest"], stages, "{rate}");
    }
    let (source, out) = (folder.path().join("in.wav"), folder.path().join("out.mka"));
    let encode = |option: &str, value: &str| run(["encode", option, value, text(&source), text(&out)]);
    assert_fails(&encode("--bitrate", "20k"), 2, "1000 to 9000");
    assert_fails(&encode("--stages", "40"), 2, "1 to 9");
    assert_fails(&encode("--frames-per-packet", "501"), 2, "1 to 500");
    assert_fails(&encode("--search-width", "0"), 2, "1 to 64");
    assert!(!out.exists());
}

#[test]
fn tags_travel() {
    let folder = folder();
    let (wav, flac) = (folder.path().join("in.wav"), folder.path().join("tagged.flac"));
    let coded = coded(folder.path(), 1.0, &[]);
    good(["decode", text(&coded), text(&flac)]);
    let status = std::process::Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-y",
            "-i",
            text(&flac),
            "-metadata",
            "title=A title",
            "-metadata",
            "artist=Somebody",
        ])
        .arg(&wav)
        .status();
    assert!(status.expect("ffmpeg").success());
    good(["encode", "-y", text(&wav), text(&coded)]);
    let info = &ndjson(&good(["info", "--json", text(&coded)]))[0];
    assert_eq!((&info["tags"]["TITLE"], &info["tags"]["ARTIST"]), (&"A title".into(), &"Somebody".into()));
}

#[test]
fn memory_does_not_grow_with_the_input() {
    let folder = folder();
    let source = folder.path().join("a.wav");
    let peak = |seconds: usize, args: &[&str]| -> [u64; 2] {
        // Many channels of a high rate: much input for little work.
        wav(&source, &vec![0.1; seconds * 192_000], 192_000, 8);
        let (coded, out) = (source.with_extension("mka"), source.with_extension("f32"));
        let common = ["-y", "--json"];
        let encode = [&["encode", text(&source), text(&coded)], &common[..], args].concat();
        let decode = [&["decode", text(&coded), text(&out)], &common[..]].concat();
        [encode, decode].map(|verb| {
            let lines = ndjson(&good(verb));
            lines.last().expect("a result")["peak_memory_bytes"].as_u64().expect("a number")
        })
    };
    let (short, long) = (peak(2, &["--search-width", "1"]), peak(30, &["--search-width", "1"]));
    for (short, long) in short.iter().zip(long) {
        // The long input has 86 MB more.
        assert!(long < short + (10 << 20), "{short} bytes for 2 s, {long} for 30 s");
    }
}
