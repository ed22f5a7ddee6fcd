//! Whatever the clock of a recording does, pictures and sound come out whole and in step: a flash of light and a beep that belong
//! together stay together.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{assert_fails, ffmpeg, folder, good, json, probe, run, run_with, stderr, text};
use tempfile::TempDir;

/// Seconds by which they may part: a packet of sound on either side.
const IN_STEP: f64 = 0.1;

/// A recording of 12 s, with a flash and a beep at 8 s and a keyframe every 5 s.
fn recording(folder: &TempDir, name: &str, codecs: &[&str]) -> PathBuf {
    let path = folder.path().join(name);
    let pictures = "color=black:s=64x48:r=25:d=12,drawbox=c=white:t=fill:enable='between(t,8,8.2)'";
    let sound = "aevalsrc='if(between(t,8,8.2),sin(2*PI*1000*t),0.001*sin(2*PI*300*t))':s=48000:d=12";
    let inputs = ["-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", sound];
    ffmpeg(&[&inputs[..], codecs, &[text(&path)]].concat());
    path
}

const H264: [&str; 12] = [
    "-c:v",
    "libx264",
    "-g",
    "125",
    "-keyint_min",
    "125",
    "-sc_threshold",
    "0",
    "-c:a",
    "aac",
    "-b:a",
    "64k",
];

/// A recording as MPEG-TS.
fn broadcast(folder: &TempDir) -> PathBuf {
    recording(folder, "a.ts", &H264)
}

/// What FFmpeg makes of a file without coding it anew.
fn remux(from: &Path, name: &str, options: &[&str]) -> PathBuf {
    let to = from.with_file_name(name);
    ffmpeg(&[&["-i", text(from), "-c", "copy"], options, &[text(&to)]].concat());
    to
}

/// When a filter of FFmpeg's first finds more than a limit, in seconds.
fn first_above(path: &Path, map: &str, filters: [&str; 2], key: &str, limit: f64) -> f64 {
    let args =
        ["-v", "error", "-copyts", "-i", text(path), "-map", map, filters[0], filters[1], "-f", "null", "-"];
    let run = Command::new("ffmpeg").args(args).output().expect("ffmpeg starts");
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    let mut time = f64::NAN;
    for line in told.lines() {
        if let Some((_, at)) = line.split_once("pts_time:") {
            time = at.trim().parse().unwrap_or(f64::NAN);
        }
        let value = line.strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
        if value.and_then(|v| v.parse::<f64>().ok()).is_some_and(|v| v > limit) {
            return time;
        }
    }
    f64::NAN
}

/// When the flash is seen and the beep is heard in a file, by its time stamps.
fn flash_and_beep(path: &Path) -> (f64, f64) {
    let flash = first_above(
        path,
        "0:v:0",
        ["-vf", "signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-"],
        "lavfi.signalstats.YAVG",
        120.0,
    );
    (flash, beep(path))
}

/// When the first loud sound of a file is heard, in seconds.
fn beep(path: &Path) -> f64 {
    let loudness = "asetnsamples=240:p=0,astats=metadata=1:reset=1,ametadata=print:key=lavfi.astats.Overall.RMS_level:file=-";
    first_above(path, "0:a:0", ["-af", loudness], "lavfi.astats.Overall.RMS_level", -25.0)
}

/// Encodes a recording and decodes it to Matroska; gives that file and what was said.
fn through(input: &Path) -> (PathBuf, String) {
    let (coded, back) = (input.with_extension("coded.mkv"), input.with_extension("back.mkv"));
    let output = run(["encode", "-y", text(input), text(&coded)]);
    assert!(output.status.success(), "{}", stderr(&output));
    good(["decode", "-q", "-y", text(&coded), text(&back)]);
    (back, stderr(&output))
}

fn assert_in_step(back: &Path, what: &str) -> f64 {
    let (flash, beep) = flash_and_beep(back);
    assert!((beep - flash).abs() < IN_STEP, "{what}: the flash is at {flash} s, the beep at {beep} s");
    flash
}

fn pictures(path: &Path) -> usize {
    probe(path, "v", "packet=pts_time").len()
}

#[test]
fn recordings_that_were_joined_byte_by_byte_are_all_there() {
    let folder = folder();
    let mpeg2: &[&str] = &["-c:v", "mpeg2video", "-c:a", "mp2", "-f", "vob"];
    let mpeg1: &[&str] = &["-c:v", "mpeg1video", "-c:a", "mp2", "-f", "mpeg"];
    let matroska: &[&str] = &["-c:v", "mpeg4", "-c:a", "flac"];
    for (name, codecs) in [("a.ts", &H264[..]), ("a.vob", mpeg2), ("a.mpg", mpeg1), ("a.mkv", matroska)] {
        let one = recording(&folder, name, codecs);
        let joined = one.with_file_name(format!("joined-{name}"));
        let data = std::fs::read(&one).expect("a recording");
        std::fs::write(&joined, [data.as_slice(), &data].concat()).expect("a file");
        let (back, said) = through(&joined);
        let count = pictures(&back);
        assert!((597..=606).contains(&count), "{name}: {count} pictures of 600");
        assert_in_step(&back, name);
        assert!(said.contains("clock jumps"), "{name}: {said}");
    }
}

#[test]
fn lost_sound_leaves_its_time() {
    let folder = folder();
    let source = broadcast(&folder);
    let gap = "noise=drop='between(n*1024/48000,3,5)'";
    for (name, filter) in [("gap.ts", gap.to_owned()), ("gap.mp4", format!("aac_adtstoasc,{gap}"))] {
        let input = remux(&source, name, &["-bsf:a", &filter]);
        let (back, said) = through(&input);
        assert_in_step(&back, name);
        assert!(said.contains("sound are missing"), "{name}: {said}");
        // The sound alone is as long as the recording.
        let coded = input.with_extension("mka");
        let result = json(&["encode", "-y", text(&input), text(&coded), "--json"]);
        let seconds = result["seconds"].as_f64().expect("seconds");
        assert!((seconds - 12.0).abs() < 0.1, "{name}: {seconds}");
    }
}

#[test]
fn clocks_that_jump_in_both_tracks_do_not_part_them() {
    let folder = folder();
    let (film, broadcast) = (
        recording(&folder, "a.mkv", &["-c:v", "mpeg4", "-g", "25", "-bf", "0", "-c:a", "flac"]),
        broadcast(&folder),
    );
    // Forward only: FFmpeg's muxers even out times that go back ("Non-monotonous DTS", version 5.1), so backward jumps are
    // those of recordings joined byte by byte, above.
    for (source, name, jump) in
        [(&film, "both.nut", 90_000), (&broadcast, "both.ts", 20), (&broadcast, "far.ts", 20_000)]
    {
        let moved = format!("setts=ts='if(gte(TS*TB,5),TS+{jump}/TB,TS)'");
        let input = remux(source, name, &["-bsf:v", &moved, "-bsf:a", &moved]);
        let (back, said) = through(&input);
        let flash = assert_in_step(&back, &said);
        assert!((flash - 8.0).abs() < 0.2, "{name}: {flash}");
        assert!(said.contains("clock jumps"), "{said}");
        let count = pictures(&back);
        assert!((299..=303).contains(&count), "{said}: {count} pictures");
    }
}

#[test]
fn a_track_whose_clock_alone_jumps_stays_beside_the_other() {
    let folder = folder();
    let film = recording(&folder, "a.mkv", &["-c:v", "mpeg4", "-g", "25", "-bf", "0", "-c:a", "flac"]);
    let broadcast = broadcast(&folder);
    for (source, name, track) in
        [(&film, "sound.mkv", "a"), (&film, "pictures.mkv", "v"), (&broadcast, "sound.ts", "a")]
    {
        let moved = "setts=ts='if(gte(TS*TB,5),TS+20/TB,TS)'";
        let input = remux(source, name, &[&format!("-bsf:{track}"), moved]);
        let (back, said) = through(&input);
        let flash = assert_in_step(&back, name);
        assert!((flash - 8.0).abs() < IN_STEP, "{name}: {flash}");
        assert!(said.contains("clock jumps by"), "{name}: {said}");
    }
}

#[test]
fn decoding_times_that_are_missing_at_first_move_nothing() {
    let folder = folder();
    // H.264 with pictures out of order has none for its first packets in Matroska.
    let input = remux(&broadcast(&folder), "copied.mkv", &["-bsf:a", "aac_adtstoasc"]);
    let (back, said) = through(&input);
    assert!(!said.contains("clock jumps"), "{said}");
    let flash = assert_in_step(&back, &said);
    assert!((flash - 8.0).abs() < 0.05, "{flash}");
    assert!((299..=302).contains(&pictures(&back)), "{said}");
}

#[test]
fn a_recording_that_begins_in_the_middle_stays_in_step() {
    let folder = folder();
    let source = broadcast(&folder);
    let data = std::fs::read(&source).expect("a recording");
    let packets = probe(&source, "v", "packet=pts_time,pos");
    let number = |v: &serde_json::Value| v.as_str().and_then(|v| v.parse::<f64>().ok()).unwrap_or(f64::NAN);
    let cut = packets.iter().find(|p| number(&p["pts_time"]) >= 4.4).expect("a packet");
    let at = number(&cut["pos"]) as usize / 188 * 188;
    let input = source.with_file_name("cut.ts");
    std::fs::write(&input, &data[at..]).expect("a file");
    let (back, _) = through(&input);
    assert_in_step(&back, "cut between keyframes");
}

#[test]
fn sound_or_pictures_that_begin_late_do_so_in_every_output() {
    let folder = folder();
    let source = recording(&folder, "a.mkv", &["-c:v", "mpeg4", "-c:a", "flac"]);
    for (name, late) in [("sound.mkv", "0:a"), ("pictures.mkv", "0:v")] {
        let input = source.with_file_name(name);
        let (first, second) = if late == "0:a" { ("0:v", "1:a") } else { ("0:a", "1:v") };
        // What was seen at 8 s without the first 2 s of one track.
        ffmpeg(&[
            "-i",
            text(&source),
            "-ss",
            "2",
            "-copyts",
            "-i",
            text(&source),
            "-map",
            first,
            "-map",
            second,
            "-c",
            "copy",
            text(&input),
        ]);
        let (back, _) = through(&input);
        let flash = assert_in_step(&back, name);
        assert!((flash - 8.0).abs() < IN_STEP, "{name}: {flash}");
        let (coded, wav) = (input.with_extension("mka"), input.with_extension("wav"));
        good(["encode", "-q", text(&input), text(&coded)]);
        good(["decode", "-q", text(&coded), text(&wav)]);
        let beep = flash_and_beep(&wav).1;
        assert!((beep - 8.0).abs() < IN_STEP, "{name}: the sound alone beeps at {beep} s");
    }
}

#[test]
fn a_clock_that_runs_at_another_speed_is_followed() {
    let folder = folder();
    let source = recording(&folder, "a.mkv", &["-c:v", "mpeg4", "-c:a", "pcm_s16le"]);
    for (name, speed) in [("slow.mkv", 1.008), ("fast.mkv", 0.99)] {
        // The sound card's samples take longer or shorter than it says.
        let filter = format!("setts=ts=TS*{speed}");
        let input = remux(&source, name, &["-bsf:a", &filter]);
        let (back, _) = through(&input);
        let (flash, beep) = flash_and_beep(&back);
        assert!(
            (beep - 8.0 * speed).abs() < IN_STEP && (flash - 8.0).abs() < IN_STEP,
            "{name}: {flash} {beep}"
        );
    }
}

#[test]
fn raw_sound_that_changes_its_rate_lasts_as_long_as_it_does() {
    let folder = folder();
    for rates in [[44_100, 22_050], [22_050, 44_100], [48_000, 44_100]] {
        let mut both = Vec::new();
        for (i, rate) in rates.into_iter().enumerate() {
            let sound = format!(
                "aevalsrc='if(between(t,2,2.2),sin(2*PI*1000*t),0.001*sin(2*PI*300*t))':s={rate}:d=3"
            );
            let path = folder.path().join(format!("{i}.aac"));
            ffmpeg(&["-f", "lavfi", "-i", &sound, "-c:a", "aac", text(&path)]);
            both.extend(std::fs::read(&path).expect("a recording"));
        }
        let path = folder.path().join("both.aac");
        std::fs::write(&path, both).expect("a file");
        let (coded, back) = (folder.path().join("a.mka"), folder.path().join("a.wav"));
        let output = run(["encode", "-y", text(&path), text(&coded)]);
        assert!(output.status.success() && !stderr(&output).contains("missing"), "{}", stderr(&output));
        good(["decode", "-q", "-y", text(&coded), text(&back)]);
        let length =
            probe(&back, "a", "stream=duration")[0]["duration"].as_str().and_then(|d| d.parse::<f64>().ok());
        let length = length.expect("a length");
        // Two blocks of AAC more of each, which nothing in ADTS says are padding: 93 ms at 22.05 kHz.
        assert!((6.0..6.3).contains(&length), "{rates:?}: {length}");
        let late = folder.path().join("late.wav");
        ffmpeg(&["-ss", "3", "-i", text(&back), text(&late)]);
        let beep = beep(&late);
        assert!((2.0..2.3).contains(&beep), "{rates:?}: {beep}");
    }
}

#[test]
fn recordings_of_other_rates_in_a_chain_last_as_long_as_they_do() {
    let folder = folder();
    for rates in [[44_100, 22_050], [16_000, 48_000]] {
        let mut chain = Vec::new();
        for (i, rate) in rates.into_iter().enumerate() {
            // A beep a second before each end.
            let sound = format!(
                "aevalsrc='if(between(t,2,2.2),sin(2*PI*1000*t),0.001*sin(2*PI*300*t))':s={rate}:d=3"
            );
            let path = folder.path().join(format!("{i}.ogg"));
            ffmpeg(&["-f", "lavfi", "-i", &sound, "-c:a", "libvorbis", text(&path)]);
            chain.extend(std::fs::read(&path).expect("a recording"));
        }
        let path = folder.path().join("chain.ogg");
        std::fs::write(&path, chain).expect("a file");
        let (coded, back) = (folder.path().join("a.mka"), folder.path().join("a.wav"));
        let output = run(["encode", "-y", text(&path), text(&coded)]);
        assert!(
            output.status.success() && !stderr(&output).contains("missing"),
            "{rates:?}: {}",
            stderr(&output)
        );
        good(["decode", "-q", "-y", text(&coded), text(&back)]);
        let length =
            probe(&back, "a", "stream=duration")[0]["duration"].as_str().and_then(|d| d.parse::<f64>().ok());
        let length = length.expect("a length");
        // A block of Vorbis more, where FFmpeg does not see the first one's end: 23 ms.
        assert!((length - 6.0).abs() < 0.03, "{rates:?}: {length}");
        let late = folder.path().join("late.wav");
        ffmpeg(&["-ss", "3", "-i", text(&back), text(&late)]);
        let beep = beep(&late);
        assert!((beep - 2.0).abs() < IN_STEP, "{rates:?}: {beep}");
    }
}

#[test]
fn a_pipe_gives_the_tracks_that_a_file_does() {
    let folder = folder();
    let source = broadcast(&folder);
    let (by_name, by_pipe, by_fifo) =
        (source.with_file_name("n.mkv"), source.with_file_name("p.mkv"), source.with_file_name("f.mkv"));
    good(["encode", "-q", text(&source), text(&by_name)]);
    let data = std::fs::read(&source).expect("a recording");
    let output = run_with(&["encode", "-q", "-", text(&by_pipe)], data.clone());
    assert!(output.status.success(), "{}", stderr(&output));
    let fifo = source.with_file_name("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    let writer = std::thread::spawn({
        let fifo = fifo.clone();
        move || std::fs::write(fifo, data).expect("a reader")
    });
    good(["encode", "-q", text(&fifo), text(&by_fifo)]);
    writer.join().expect("no panic");
    let info = |path: &Path| {
        let info = json(&["info", text(path), "--json"]);
        (info["frames"].as_u64(), info["seconds"].as_f64(), info["packet_bytes"].as_u64())
    };
    assert_eq!(info(&by_pipe), info(&by_name));
    assert_eq!(info(&by_fifo), info(&by_name));
    assert_in_step(&through(&source).0, "all of it");
}

#[test]
fn a_film_that_was_cut_off_is_no_success_but_is_kept() {
    let folder = folder();
    let source = recording(&folder, "a.mp4", &[&H264[..], &["-movflags", "faststart"]].concat());
    let matroska = recording(&folder, "b.mkv", &["-c:v", "mpeg4", "-c:a", "flac"]);
    for whole in [&source, &matroska] {
        let data = std::fs::read(whole).expect("a recording");
        let (cut, coded) = (whole.with_extension("cut"), whole.with_extension("coded.mkv"));
        std::fs::write(&cut, &data[..data.len() / 2]).expect("a file");
        for output in [&coded, &coded.with_extension("mka")] {
            let failed = run(["encode", "-q", "-y", text(&cut), text(output)]);
            let said = stderr(&failed);
            assert!(failed.status.code() == Some(1) && said.contains("ends after"), "{said}");
            let left = json(&["info", text(output), "--json"]);
            assert!(left["seconds"].as_f64().is_some_and(|s| s > 2.0), "what is whole is kept: {left}");
            let allowed = run(["encode", "-q", "-y", "--allow-truncated", text(&cut), text(output)]);
            assert!(allowed.status.success() && stderr(&allowed).contains("warning"), "{}", stderr(&allowed));
        }
    }
    let nothing = folder.path().join("nothing.mp4");
    std::fs::write(&nothing, &std::fs::read(&source).expect("a recording")[..100]).expect("a file");
    assert_fails(
        &run(["encode", "-q", text(&nothing), text(&folder.path().join("n.mkv"))]),
        1,
        "nothing.mp4",
    );
}
