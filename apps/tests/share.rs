//! `siskin share`: the page holds the sound, the model and the player; the player is taken from installations alone.
//! Whether the page plays is what `./x web` tests, in Chromium.

mod common;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use common::{assert_fails, coded, folder, install_player, root, siskin, stderr, text};

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
    // One element with the parts, which nothing within it ends.
    let parts =
        page.split("id=\"parts\">").nth(1).and_then(|p| p.split("</script>").next()).expect("the parts");
    let parts: serde_json::Value = serde_json::from_str(parts).expect("JSON");
    assert_eq!(unpack(&parts["sound"]["bytes"]), fs::read(&input).expect("the file"));
    assert_eq!(parts["sound"]["name"], "in");
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
    // Every script that one of them imports is there, or the page would fetch it.
    let scripts = parts["scripts"].as_object().expect("scripts");
    for (name, script) in scripts {
        let script = script.as_str().expect("a text");
        for import in script.split("from \"./").skip(1).map(|rest| rest.split('"').next().expect("a name")) {
            assert!(scripts.contains_key(import), "{name} imports {import}");
        }
    }
    // Asked before what is there is written over.
    let again = installed(&data).args(["share", "-n", text(&input)]).output().expect("it starts");
    assert_fails(&again, 1, "exists already");
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
