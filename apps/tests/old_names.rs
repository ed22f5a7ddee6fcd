//! Old names of options: they still work, and warn.

mod common;

use common::*;

/// The bytes that `siskin encode` writes, and its stderr.
fn encoded(input: &std::path::Path, extension: &str, options: &[&str]) -> (Vec<u8>, String) {
    let folder = folder();
    let coded = folder.path().join(format!("a.{extension}"));
    let output = run([&["encode", "-q", text(input), text(&coded)], options].concat());
    assert!(output.status.success(), "{options:?}: {output:?}");
    (std::fs::read(&coded).expect("the file"), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn assert_same_and_warned(input: &std::path::Path, extension: &str, old: &[&str], new: &[&str]) {
    let (expected, quiet) = encoded(input, extension, new);
    assert!(!quiet.contains("old name"), "{new:?}: {quiet}");
    let (bytes, warned) = encoded(input, extension, old);
    assert!(bytes == expected, "{old:?} and {new:?} differ");
    let name = old.iter().rfind(|argument| argument.starts_with("--")).expect("an option");
    let name = name.split('=').next().expect("a name");
    assert!(warned.contains(&format!("siskin: warning: {name} is")), "{old:?}: {warned}");
    assert_eq!(warned.matches("old name").count(), 1, "{warned}");
}

#[test]
fn old_names_for_sound_give_the_same_file_and_warn() {
    let folder = folder();
    let source = folder.path().join("a.wav");
    wav(&source, &voice(24_000, 24_000), 24_000, 1);
    let rows: [(&[&str], &[&str]); 5] = [
        (&["--codebooks", "3"], &["--stages", "3"]),
        (&["--codebooks=4"], &["-s", "4"]),
        (&["--frame-size", "7"], &["--frames-per-packet", "7"]),
        (&["--bit-weight", "1"], &["--lambda", "1"]),
        (
            &["--redundancy", "1", "--redundancy-codebooks", "3"],
            &["--redundancy", "1", "--redundancy-stages", "3"],
        ),
    ];
    for (old, new) in rows {
        assert_same_and_warned(&source, "mka", old, new);
    }
}

#[test]
fn old_names_for_video_give_the_same_file_and_warn() {
    let folder = folder();
    let clip = folder.path().join("a.y4m");
    let mut y4m = b"YUV4MPEG2 W32 H32 F25:1 Ip A1:1 C420mpeg2\n".to_vec();
    for n in 0..4u32 {
        y4m.extend(b"FRAME\n");
        y4m.extend((0..32 * 48).map(|i| (40 + (i + 3 * n) % 32 * 4) as u8));
    }
    std::fs::write(&clip, y4m).expect("a writable folder");
    let fit = ["--preset", "nerv-fast", "--parameters", "4000", "--threads", "1"];
    let rows: [(&[&str], &[&str]); 3] = [
        (&["--steps", "3"], &["--refine", "3"]),
        (&["--gop-size", "2"], &["--keyframe-interval", "2"]),
        (&[&fit[..], &["--steps", "4"]].concat(), &[&fit[..], &["--epochs", "4"]].concat()),
    ];
    for (old, new) in rows {
        assert_same_and_warned(&clip, "mkv", old, new);
    }
}
