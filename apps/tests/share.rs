//! `siskin share`: the page holds the sound, the model and the player; the player is taken from installations alone.
//! Whether the page plays is what `./x web` tests, in Chromium.

mod common;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use siskin_core::bitstream::{VideoHeader, video_packet};
use siskin_core::bundle::Bundle;
use siskin_core::container::{Mode, Track, Writer, WriterOptions};
use siskin_core::video::Coding;

use common::{assert_fails, coded, ffmpeg, folder, good, install_player, ndjson, root, siskin, stderr, text};

/// The program as a user has it who is no developer: the bundles are named, the data folder is `data`.
fn installed(data: &Path) -> Command {
    let mut command = siskin();
    command
        .env_remove("SISKIN_DEV_ROOT")
        .env("SISKIN_BUNDLES", root().join("models/bundles"))
        .env("XDG_DATA_HOME", data);
    command
}

/// Bytes out of gzip in base64.
fn unpack(packed: &serde_json::Value) -> Vec<u8> {
    let digits = |c: u8| match c {
        b'A'..=b'Z' => u32::from(c - b'A'),
        b'a'..=b'z' => u32::from(c - b'a') + 26,
        b'0'..=b'9' => u32::from(c - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => 0,
    };
    let packed = packed.as_str().expect("a text").as_bytes();
    let padding = packed.iter().filter(|&&c| c == b'=').count();
    let mut bytes: Vec<u8> = packed
        .chunks(4)
        .flat_map(|four| four.iter().fold(0, |bits, &c| bits << 6 | digits(c)).to_be_bytes()[1..].to_vec())
        .collect();
    bytes.truncate(bytes.len() - padding);
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).expect("gzip");
    unpacked
}

/// The one element with the parts of a page, which nothing within it ends.
fn parts_of(page: &str) -> serde_json::Value {
    let parts =
        page.split("id=\"parts\">").nth(1).and_then(|p| p.split("</script>").next()).expect("the parts");
    serde_json::from_str(parts).expect("JSON")
}

/// The scripts of `element`, the worker and the audio thread are there, and every one that they import: the page fetches nothing.
fn assert_scripts(parts: &serde_json::Value, element: &str) {
    let scripts = parts["scripts"].as_object().expect("scripts");
    let mut needed = vec![element, "worker.js", "worklet.js"];
    let mut seen = Vec::new();
    while let Some(name) = needed.pop() {
        assert!(scripts.contains_key(name), "{name} is missing");
        let script = scripts[name].as_str().expect("a text");
        seen.push(name);
        let imports = script.split("from \"./").skip(1).map(|rest| rest.split('"').next().expect("a name"));
        needed.extend(imports.filter(|import| !seen.contains(import)));
    }
    assert!(scripts.keys().all(|name| seen.contains(&name.as_str())), "no others: {:?}", scripts.keys());
}

#[test]
fn a_page_holds_all_that_it_takes() {
    let folder = folder();
    let input = coded(folder.path(), 1.0, &[]);
    let data = folder.path().join("data");
    install_player(&data);
    let title = "</script><b>\"Talk\" & @PARTS@";
    let output =
        installed(&data).args(["share", text(&input), "--title", title]).output().expect("it starts");
    assert!(output.status.success(), "{}", stderr(&output));
    let page = fs::read_to_string(input.with_extension("html")).expect("the page beside the file");
    assert!(page.contains("<title>&lt;/script&gt;&lt;b&gt;&quot;Talk&quot; &amp; @PARTS@</title>"));
    let parts = parts_of(&page);
    assert_eq!(unpack(&parts["file"]["bytes"]), fs::read(&input).expect("the file"));
    assert_eq!(parts["file"]["name"], "in");
    assert_eq!(unpack(&parts["module"]), b"\0asm, not really");
    let bundle = root().join("models/bundles/speech-24k");
    let same = |packed: &serde_json::Value, name: &str| {
        unpack(packed) == fs::read(bundle.join(name)).expect("a file")
    };
    assert!(same(&parts["bundle"]["manifest"], "manifest.json"));
    let files = parts["bundle"]["files"].as_object().expect("files");
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        ["codebooks.safetensors", "decoder.onnx", "entropy.safetensors"]
    );
    assert!(files.iter().all(|(name, packed)| same(packed, name)));
    assert_scripts(&parts, "audio.js");
    // Asked before what is there is written over.
    let again = installed(&data).args(["share", "-n", text(&input)]).output().expect("it starts");
    assert_fails(&again, 1, "exists already");
}

#[test]
fn a_film_is_shown_with_sound_or_without() {
    let folder = folder();
    let data = folder.path().join("data");
    install_player(&data);
    let film = folder.path().join("film.mkv");
    let source = "testsrc=size=64x48:rate=25:duration=0.4";
    let clip = folder.path().join("clip.mkv");
    for has_sound in [false, true] {
        let sound: &[&str] = if has_sound { &["-f", "lavfi", "-i", "sine=duration=0.4"] } else { &[] };
        let output: &[&str] = &["-c:v", "ffv1", text(&clip)];
        ffmpeg(&[&["-y", "-f", "lavfi", "-i", source], sound, output].concat());
        good(["encode", "-q", "-y", text(&clip), text(&film)]);
        let output =
            installed(&data).args(["share", "-y", "--json", text(&film)]).output().expect("it starts");
        assert!(output.status.success(), "{}", stderr(&output));
        let said = ndjson(&output.stdout).pop().expect("a result");
        assert_eq!(said["video"], true);
        assert_eq!(said["model"].as_str(), has_sound.then_some("speech-24k"));
        assert!((said["seconds"].as_f64().expect("a number") - 0.4).abs() < 0.05, "{said}");
        let page = fs::read_to_string(film.with_extension("html")).expect("the page");
        assert!(
            page.contains("<siskin-video id=\"player\"") && !page.contains("<siskin-audio"),
            "the element"
        );
        let parts = parts_of(&page);
        assert_eq!(unpack(&parts["file"]["bytes"]), fs::read(&film).expect("the file"));
        assert_eq!(parts["bundle"].is_null(), !has_sound);
        assert_scripts(&parts, "video.js");
    }
}

/// The file with headers that say two channels; the page never decodes it, so that its packets are of one.
fn as_stereo(file: &Path) {
    let mut bytes = fs::read(file).expect("a file");
    let id = Bundle::find("speech-24k").expect("the shipped bundle").id();
    // The bundle's id, then the sample rate in three bytes, then the channels.
    let found: Vec<usize> =
        bytes.windows(8).enumerate().filter(|(_, window)| *window == id.0).map(|(at, _)| at + 11).collect();
    assert!(!found.is_empty());
    for at in found {
        assert_eq!(std::mem::replace(&mut bytes[at], 2), 1);
    }
    fs::write(file, bytes).expect("a file");
}

#[test]
fn sound_of_two_channels_is_no_page_and_a_film_with_it_is_shown_in_silence() {
    let folder = folder();
    let data = folder.path().join("data");
    install_player(&data);
    let share =
        |file: &Path| installed(&data).args(["share", "--json", text(file)]).output().expect("it starts");
    let sound = coded(folder.path(), 0.4, &[]);
    as_stereo(&sound);
    assert_fails(&share(&sound), 1, "its sound has 2 channels, and pages play sound of one");
    assert!(!sound.with_extension("html").exists());

    let (clip, film) = (folder.path().join("clip.mkv"), folder.path().join("film.mkv"));
    let inputs = [
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=64x48:rate=25:duration=0.4",
        "-f",
        "lavfi",
        "-i",
        "sine=duration=0.4",
    ];
    ffmpeg(&[&inputs[..], &["-c:v", "ffv1", text(&clip)]].concat());
    good(["encode", "-q", "-y", text(&clip), text(&film)]);
    as_stereo(&film);
    let output = share(&film);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = ndjson(&output.stdout);
    let said = lines.last().expect("a result");
    assert_eq!((&said["video"], &said["model"]), (&true.into(), &serde_json::Value::Null));
    let all = format!("{lines:?}{}", stderr(&output));
    assert!(all.contains("its sound has 2 channels"), "{all}");
    assert!(
        parts_of(&fs::read_to_string(film.with_extension("html")).expect("the page"))["bundle"].is_null()
    );
}

#[test]
fn the_length_of_a_film_is_the_one_it_states_else_that_of_its_frames() {
    let folder = folder();
    let data = folder.path().join("data");
    install_player(&data);
    let header = VideoHeader {
        width: 64,
        height: 48,
        frame_rate: (25, 1),
        pixel_aspect: (1, 1),
        colorimetry: Default::default(),
    };
    // Packets of eight frames whose blocks do not say how long they last, as other programs write them.
    let film = |mode: Mode| {
        let mut writer =
            Writer::new(vec![Track::video(&header)], WriterOptions { mode, ..Default::default() })
                .expect("a writer");
        let mut file = Vec::new();
        writer.write_header(&mut file).expect("a header");
        for i in 0..3u32 {
            let mut packet = Vec::new();
            video_packet::write_head(Coding::Blocks, Some(&header), (i, 8), None, &mut packet);
            packet.extend([7; 50]);
            video_packet::append_checksum(&mut packet);
            writer.write_block(0, u64::from(i) * 320_000_000, 0, true, &packet, &mut file).expect("a block");
        }
        for patch in writer.finish(&mut file).expect("an end") {
            patch.apply(&mut file).expect("within the file");
        }
        let path = folder.path().join("film.mkv");
        fs::write(&path, file).expect("a file");
        let output =
            installed(&data).args(["share", "-y", "--json", text(&path)]).output().expect("it starts");
        assert!(output.status.success(), "{}", stderr(&output));
        ndjson(&output.stdout).pop().expect("a result")["seconds"].as_f64().expect("a number")
    };
    assert!((film(Mode::Live) - 0.96).abs() < 1e-3, "{}", film(Mode::Live));
    // As far as the writer knew, which is where the last packet begins.
    assert!((film(Mode::File) - 0.64).abs() < 2e-3, "{}", film(Mode::File));
}

#[test]
fn a_player_is_not_taken_from_where_the_user_stands() {
    let folder = folder();
    let input = coded(folder.path(), 0.2, &[]);
    let stand = folder.path().join("here");
    for place in ["siskin/player", "web/player", "share/siskin/player"] {
        fs::create_dir_all(stand.join(place)).expect("a folder");
        fs::write(stand.join(place).join("siskin.wasm"), b"planted").expect("a file");
    }
    let output = installed(&folder.path().join("nothing"))
        .current_dir(&stand)
        .args(["share", text(&input), "-o", "page.html"])
        .output()
        .expect("it starts");
    assert_fails(&output, 1, "the web player is not installed");
    assert!(!stderr(&output).contains(text(&stand)), "{}", stderr(&output));
    assert!(!stand.join("page.html").exists());
}

#[test]
fn what_is_no_sound_of_ours_is_no_page() {
    let folder = folder();
    let data = folder.path().join("data");
    install_player(&data);
    let input = folder.path().join("noise.mka");
    fs::write(&input, [0x55; 4000]).expect("a file");
    let share = |args: &[&str]| installed(&data).arg("share").args(args).output().expect("it starts");
    assert_fails(&share(&[text(&input)]), 1, "not a Matroska file");
    assert!(!input.with_extension("html").exists());
    assert_fails(&share(&["-"]), 2, "name a page with -o");
}
