//! `siskin tokens`: exact there and back, whole folders, runs that go on, bad files.

mod common;

use std::fs;
use std::path::Path;

use common::*;
use siskin_core::bitstream::packet::Packet;
use siskin_core::bundle::Bundle;
use siskin_core::container::{Block, Reader};
use siskin_core::tokens::{FileFormat, TokenFile};

fn packets(path: &Path) -> Vec<(u64, Vec<u8>)> {
    let mut reader = Reader::open(fs::File::open(path).expect("the file")).expect("a coded file");
    let (mut out, mut block) = (Vec::new(), Block::default());
    while reader.next_block(&mut block).expect("a whole file") {
        out.push((block.pts_ns, block.data.clone()));
    }
    out
}

fn read(path: &Path) -> TokenFile {
    let format = FileFormat::from_path(path).expect("a token file's name");
    TokenFile::from_bytes(format, &fs::read(path).expect("a file")).expect("a token file")
}

#[test]
fn each_format_comes_back_bit_exact() {
    let folder = folder();
    let coded = coded(folder.path(), 3.3, &["--stages", "6"]);
    let (before, mut codes) = (packets(&coded), None);
    for format in FileFormat::ALL {
        let tokens = folder.path().join("tokens").with_extension(format.name());
        good(["tokens", "export", text(&coded), text(&tokens)]);
        let file = read(&tokens);
        let found = (file.codebooks, file.frames, file.codes);
        assert_eq!(*codes.get_or_insert(found.clone()), found, "{format:?}");
        let back = folder.path().join("back.mka");
        good(["tokens", "import", "-y", text(&tokens), text(&back)]);
        assert_eq!(packets(&back), before, "{format:?}");
    }
    let names: Vec<_> =
        ["back.mka", "in.mka", "in.wav", "tokens.jsonl", "tokens.npy", "tokens.npy.json"].into();
    assert_files(folder.path(), &[&names[..], &["tokens.safetensors"]].concat());
    let header =
        Packet::parse(&before[0].1, &Default::default()).expect("a packet").header.expect("the first");
    assert_eq!(read(&folder.path().join("tokens.safetensors")).meta.stream_header, Some(header));
}

#[test]
fn a_recording_gives_the_codes_of_its_coded_file() {
    let folder = folder();
    // Tokens of a recording are the nearest codes; those of a file are chosen by their bits too, unless told otherwise.
    let coded = coded(folder.path(), 2.0, &["--stages", "6", "--lambda", "0"]);
    let (a, b) = (folder.path().join("a.safetensors"), folder.path().join("b.safetensors"));
    good(["tokens", "export", text(&coded), text(&a)]);
    good(["tokens", "export", "--stages", "6", text(&folder.path().join("in.wav")), text(&b)]);
    let (a, b) = (read(&a), read(&b));
    assert!(a.codes == b.codes && a.meta.samples == b.meta.samples);
    let low = folder.path().join("low.npy");
    good(["tokens", "export", "--stages", "3", text(&coded), text(&low)]);
    let low_file = read(&low);
    assert_eq!(2 * low_file.codebooks, b.codebooks);
    assert!(low_file.codes == b.codes[..low_file.codes.len()]);
    assert_fails(&run(["tokens", "export", "-y", "--stages", "9", text(&coded), text(&low)]), 1, "6 stages");
}

#[test]
fn whole_folders_go_on_where_they_stopped() {
    let folder = folder();
    let (source, out) = (folder.path().join("data"), folder.path().join("tokens"));
    fs::create_dir_all(source.join("speaker")).expect("a folder");
    for (n, name) in ["a.wav", "b.wav", "speaker/a.wav", "speaker/c.wav"].into_iter().enumerate() {
        wav(&source.join(name), &voice(4000 + 1000 * n, 24_000), 24_000, 1);
    }
    fs::write(source.join("notes.txt"), "no recording").expect("a file");
    fs::write(source.join("broken.wav"), "RIFF").expect("a file");
    let export = |options: &[&str]| {
        let mut args = vec!["tokens", "export", "--json", "--jobs", "2", text(&source), text(&out)];
        args.extend(options);
        run(args)
    };
    let first = export(&[]);
    let lines = ndjson(&first.stdout);
    let result = lines.iter().find(|l| l["type"] == "result").expect("a result");
    assert_eq!((&result["files"], &result["failed"]), (&4.into(), &1.into()));
    assert!(lines.iter().any(|l| l["type"] == "warning" && l["message"].to_string().contains("broken.wav")));
    assert_eq!(first.status.code(), Some(1), "one has failed");
    fs::remove_file(source.join("broken.wav")).expect("a file");
    fs::remove_file(out.join("speaker/a.safetensors")).expect("an output");
    let kept = fs::metadata(out.join("b.safetensors")).and_then(|m| m.modified()).expect("an output");
    let lines = ndjson(&export(&[]).stdout);
    let result = lines.last().expect("a result");
    assert_eq!((&result["files"], &result["skipped"]), (&1.into(), &3.into()));
    assert_eq!(fs::metadata(out.join("b.safetensors")).and_then(|m| m.modified()).expect("an output"), kept);
    assert_eq!(read(&out.join("speaker/a.safetensors")).meta.id.as_deref(), Some("speaker/a"));
    let back = folder.path().join("coded");
    let lines = ndjson(&good(["tokens", "import", "--json", "--jobs", "2", text(&out), text(&back)]));
    assert_eq!(lines.last().expect("a result")["files"], 4);
    assert_eq!(decode(&back.join("speaker/c.mka"), &[]).len(), 7000, "to the sample");
}

#[test]
fn one_file_of_lines_for_a_folder() {
    let folder = folder();
    let source = folder.path().join("data");
    fs::create_dir_all(source.join("x")).expect("a folder");
    for name in ["a.wav", "x/b.wav"] {
        wav(&source.join(name), &voice(5000, 24_000), 24_000, 1);
    }
    let lines = folder.path().join("all.jsonl");
    good(["tokens", "export", text(&source), text(&lines)]);
    let whole = fs::read(&lines).expect("the lines");
    // Cut off in the middle of the second line, as by a crash.
    let first = whole.iter().position(|&b| b == b'\n').expect("a line") + 1;
    fs::write(&lines, &whole[..first + 100]).expect("a file");
    good(["tokens", "export", text(&source), text(&lines)]);
    assert_eq!(fs::read(&lines).expect("the lines"), whole);
    let info = ndjson(&good(["tokens", "info", "--json", text(&lines)]));
    let ids: Vec<_> = info.iter().map(|l| l["id"].clone()).collect();
    assert_eq!(ids, ["a", "x/b"]);
    let back = folder.path().join("coded");
    good(["tokens", "import", text(&lines), text(&back)]);
    assert_eq!(decode(&back.join("x/b.mka"), &[]).len(), 5000);
    // An id does not lead out of the folder.
    let evil = folder.path().join("evil.jsonl");
    let line = String::from_utf8(whole[..first].to_vec())
        .expect("text")
        .replace("\"id\":\"a\"", "\"id\":\"../../a\"");
    fs::write(&evil, line).expect("a file");
    let output = run(["tokens", "import", text(&evil), text(&back)]);
    assert!(stderr(&output).contains("is no file name"), "{}", stderr(&output));
}

#[test]
fn info_tells_and_checks() {
    let folder = folder();
    let coded = coded(folder.path(), 2.0, &["--stages", "6"]);
    let tokens = folder.path().join("a.safetensors");
    good(["tokens", "export", text(&coded), text(&tokens)]);
    let info = &ndjson(&good(["tokens", "info", "--json", text(&tokens)]))[0];
    assert_eq!(
        (&info["ok"], &info["model"], &info["samples"]),
        (&true.into(), &"speech-24k".into(), &48_000.into())
    );
    assert_eq!(info["seconds"], 2.0);
    let mut file = read(&tokens);
    let size = file.meta.codebook_size;
    file.codes[7] = size as u16;
    fs::write(&tokens, file.to_bytes(FileFormat::Safetensors).expect("a file")).expect("a file");
    let output = run(["tokens", "info", text(&tokens)]);
    assert_fails(&output, 1, &format!("token {} is {size}", 7 * file.codebooks));
}

#[test]
fn bad_token_files_are_refused_with_the_place() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let out = path("out.mka");
    let groups = Bundle::find("speech-24k").expect("the bundle").manifest().quantizer.groups.into();
    let line = |codes: &str, more: &str| format!("{{\"model\": \"speech-24k\", \"codes\": {codes}{more}}}\n");
    for (text_of_file, reason) in [
        (line("[[1, 2], [3, 99999]]", ""), "99999"),
        (line("[[1, 2], [3, 60000]]", ""), "allowed for codebook 1: 0 to"),
        (line("[[1, 2], [3]]", ""), "row 1 has 1 codes"),
        (line(&format!("[{}[1]]", "[1],".repeat(99 + groups)), ""), "codebooks, speech-24k has"),
        (
            line(&format!("[{}]", vec!["[1, 2]"; groups].join(",")), ", \"samples\": 100000"),
            "samples is 100000",
        ),
        ("{\"codes\": [[1]]}".into(), "--model"),
        ("{\"codes\": [[1]], \"model\": \"whale-song\"}".into(), "whale-song"),
        ("nonsense".into(), "bad line"),
    ] {
        let file = path("bad.jsonl");
        fs::write(&file, text_of_file).expect("a file");
        let output = run(["tokens", "import", text(&file), text(&out)]);
        assert!(
            !output.status.success() && stderr(&output).contains(reason),
            "{reason}: {}",
            stderr(&output)
        );
        assert!(!out.exists());
    }
    // A pickle in an array file could run code.
    fs::write(
        path("bad.npy"),
        b"\x93NUMPY\x01\x00\x3c\x00{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }\n    ",
    )
    .expect("a file");
    assert_fails(&run(["tokens", "import", "-m", "speech-24k", text(&path("bad.npy")), text(&out)]), 1, "|O");
    assert_fails(
        &run(["tokens", "export", text(&clip("speech-be.flac")), text(&path("a.pkl"))]),
        2,
        ".safetensors",
    );
}

#[test]
fn names_that_occur_twice_lose_nothing_else() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    for (name, samples) in [("one.wav", 12_000), ("two.wav", 16_000), ("three.wav", 20_000)] {
        wav(&path(name), &voice(samples, 24_000), 24_000, 1);
    }
    // The first of the two is kept, as in shards, and a name that leads out of the folder is one failure.
    let entry = |file: &str, id: &str| format!("{{\"audio_filepath\": \"{file}\", \"id\": \"{id}\"}}\n");
    let lines =
        [entry("one.wav", "a"), entry("two.wav", "b"), entry("three.wav", "a"), entry("three.wav", "../c")];
    let manifest = path("m.json");
    fs::write(&manifest, lines.concat()).expect("a file");
    for _ in 0..2 {
        let output = run(["tokens", "export", "-q", text(&manifest), text(&path("out"))]);
        let said = stderr(&output);
        assert!(output.status.code() == Some(1) && said.contains("2 of"), "{said}");
        assert!(said.contains("entry 3 has the id") && said.contains("is no file name"), "{said}");
        assert_eq!(read(&path("out/a.safetensors")).meta.samples, Some(12_000));
        assert_eq!(read(&path("out/b.safetensors")).meta.samples, Some(16_000));
    }
    // Lines of the same name: the second one is told of.
    let both = path("both.jsonl");
    let [one, two] = ["one.wav", "two.wav"].map(|name| {
        let line = path(name).with_extension("jsonl");
        good(["tokens", "export", "-q", text(&path(name)), text(&line)]);
        let mut line: serde_json::Value =
            serde_json::from_slice(&fs::read(&line).expect("a file")).expect("JSON");
        line["id"] = "x".into();
        format!("{line}\n")
    });
    fs::write(&both, one + &two).expect("a file");
    let output = run(["tokens", "import", text(&both), text(&path("back"))]);
    let said = stderr(&output);
    assert!(
        output.status.code() == Some(1) && said.contains("line 2: its file would be that of line 1"),
        "{said}"
    );
}

#[test]
fn a_run_with_other_codebooks_does_not_mix_them() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("in")).expect("a folder");
    for name in ["in/a.wav", "in/b.wav"] {
        wav(&path(name), &voice(12_000, 24_000), 24_000, 1);
    }
    for output in ["out", "out.jsonl"] {
        let (input, output) = (path("in"), path(output));
        good(["tokens", "export", "-q", "--stages", "2", text(&input), text(&output)]);
        for again in [&["--stages", "3"][..], &[]] {
            let run = run([&["tokens", "export", text(&input), text(&output)], again].concat());
            assert_fails(&run, 2, "has 4 codebooks, this run makes");
        }
        good(["tokens", "export", "-q", "-y", "--stages", "3", text(&input), text(&output)]);
    }
}

#[test]
fn coded_files_beside_recordings_keep_their_own_codebooks() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("in")).expect("a folder");
    fs::rename(coded(folder.path(), 1.0, &["--stages", "2"]), path("in/b.mka")).expect("a file");
    good(["tokens", "export", "-q", text(&path("in")), text(&path("out"))]);
    wav(&path("in/a.wav"), &voice(12_000, 24_000), 24_000, 1);
    good(["tokens", "export", "-q", text(&path("in")), text(&path("out"))]);
    let [a, b] = ["out/a.safetensors", "out/b.safetensors"].map(|name| read(&path(name)).codebooks);
    assert_eq!((a, b), (12, 4));
    // What is not there, or holds nothing, does not keep the others from being looked at; nor does another program's file.
    fs::write(path("out/export.json"), "{\"x\": 1}").expect("a file");
    let output = run(["tokens", "info", "--json", text(&path("none.npy")), text(&path("out"))]);
    let lines = ndjson(&output.stdout);
    let told: Vec<_> = lines.iter().map(|line| line["ok"].as_bool()).collect();
    assert_eq!((output.status.code(), told), (Some(1), vec![Some(false), Some(true), Some(true)]));
    // A corpus of what is read once only.
    let sound = fs::read(path("in/a.wav")).expect("a file");
    let output = run_with(&["tokens", "export", "-q", "-f", "shar", "-", text(&path("corpus"))], sound);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn what_is_left_out_of_a_folder_is_said() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("in")).expect("a folder");
    wav(&path("in/a.wav"), &voice(12_000, 24_000), 24_000, 1);
    ffmpeg(&["-i", text(&path("in/a.wav")), text(&path("in/b.wv"))]);
    fs::write(path("in/a.txt"), "words").expect("a file");
    std::os::unix::fs::symlink(path("nowhere.wav"), path("in/c.wav")).expect("a link");
    std::os::unix::fs::symlink(folder.path(), path("in/round")).expect("a link");
    let output = run(["tokens", "export", text(&path("in")), text(&path("out"))]);
    let said = stderr(&output);
    assert!(
        said.contains("Leaving out 1 file whose extension is of no recording (.txt) and 1 link to a folder"),
        "{said}"
    );
    // A link to a disk that is not there is a failure, and not one recording fewer.
    assert!(output.status.code() == Some(1) && said.contains("1 of 3 files failed"), "{said}");
    assert!(path("out/b.safetensors").exists() && said.contains("c.wav"), "{said}");
    // An input that is not there makes no corpus.
    let output = run(["tokens", "export", "-f", "shar", text(&path("typo.json")), text(&path("corpus"))]);
    assert_fails(&output, 1, "typo.json: No such file");
    assert!(!path("corpus").exists());
    assert_fails(&run(["tokens", "info", text(&path("in"))]), 1, "holds no token files");
    assert_fails(&run(["tokens", "info", text(&path("typo.npy"))]), 1, "typo.npy: No such file");
}

#[test]
fn an_output_that_takes_nothing_ends_the_run() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("in")).expect("a folder");
    for n in 0..20 {
        wav(&path(&format!("in/{n:02}.wav")), &voice(12_000, 24_000), 24_000, 1);
    }
    fs::write(path("file"), "").expect("a file");
    let output = run(["tokens", "export", text(&path("in")), text(&path("file/out"))]);
    assert_fails(&output, 1, "Not a directory");
    assert_eq!(stderr(&output).matches("Not a directory").count(), 1, "{}", stderr(&output));
}

#[test]
fn a_recording_that_is_damaged_in_the_middle_is_a_failure() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    wav(&path("a.wav"), &voice(96_000, 24_000), 24_000, 1);
    ffmpeg(&["-i", text(&path("a.wav")), text(&path("a.flac"))]);
    let mut data = fs::read(path("a.flac")).expect("a file");
    let middle = data.len() / 2;
    data[middle..middle + 400].iter_mut().for_each(|byte| *byte ^= 0x5a);
    fs::write(path("a.flac"), data).expect("a file");
    let output = run(["tokens", "export", text(&path("a.flac")), text(&path("a.safetensors"))]);
    assert_fails(&output, 1, "of sound could not be decoded");
    assert!(!path("a.safetensors").exists());
}

#[test]
fn latents_say_what_made_them_and_are_whole() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    wav(&path("a.wav"), &voice(48_000, 48_000), 48_000, 2);
    good(["latents", "export", "-q", "-m", "audio-48k", text(&path("a.wav")), text(&path("a.safetensors"))]);
    good(["latents", "decode", "-q", text(&path("a.safetensors")), text(&path("b.wav"))]);
    let data = fs::read(path("a.wav")).expect("a file");
    fs::write(path("cut.wav"), &data[..data.len() / 2]).expect("a file");
    let output = run(["latents", "export", text(&path("cut.wav")), text(&path("cut.safetensors"))]);
    let said = stderr(&output);
    assert!(output.status.code() == Some(1) && said.contains("ends after"), "{said}");
    assert!(!path("cut.safetensors").exists());
}
