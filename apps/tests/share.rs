//! `siskin share`: the page holds the sound, the model and the player; the player is taken from installations alone.
//! Whether the page plays is what `./x web` tests, in Chromium.

mod common;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

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
