//! Nothing is loaded from where the user happens to stand: a library and bundles in the working directory and above it.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{clip, folder, root, siskin, stderr, text};

/// A folder with a library that leaves a mark when its code runs, a bundle with a shipped one's name, and below them a
/// folder to stand in.
struct Planted {
    folder: tempfile::TempDir,
}

impl Planted {
    fn new() -> Self {
        let planted = Self { folder: folder() };
        let runtime = planted.path(".siskin/ort");
        fs::create_dir_all(&runtime).expect("a folder");
        let source = planted.path("mark.c");
        let code = format!(
            "#include <stdio.h>\n__attribute__((constructor)) static void run(void) {{ FILE *f = fopen(\"{}\", \"w\"); \
             if (f) fclose(f); }}\n",
            planted.mark().display()
        );
        fs::write(&source, code).expect("a source file");
        let library = runtime.join("libonnxruntime.so");
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-o", text(&library), text(&source)]).status();
        assert!(built.is_ok_and(|s| s.success()), "cc builds a library");
        let stand = planted.stand();
        for place in ["models/bundles", "share/siskin/bundles", "below/models/bundles", "below"] {
            let bundle = planted.path(place).join("speech-24k");
            fs::create_dir_all(&bundle).expect("a folder");
            fs::write(bundle.join("manifest.json"), "{ \"planted\": true }").expect("a file");
        }
        for name in ["lib", "lib/siskin", "below/lib/siskin", "below"] {
            fs::create_dir_all(planted.path(name)).expect("a folder");
            fs::copy(&library, planted.path(name).join("libonnxruntime.so")).expect("a copy");
        }
        assert!(stand.is_dir());
        planted
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn stand(&self) -> PathBuf {
        self.path("below")
    }

    fn mark(&self) -> PathBuf {
        self.path("the-code-ran")
    }

    /// Runs the program below the planted files, without the variables of development.
    fn run(&self, args: &[&str], variables: &[(&str, &Path)]) -> Output {
        let mut command = siskin();
        for name in ["SISKIN_DEV_ROOT", "SISKIN_BUNDLES", "ORT_DYLIB_PATH"] {
            command.env_remove(name);
        }
        let home = self.path("home");
        command.env("HOME", &home).env_remove("XDG_DATA_HOME").envs(variables.iter().copied());
        command.current_dir(self.stand()).args(args).output().expect("the binary starts")
    }
}

#[test]
fn a_library_below_or_above_the_working_directory_is_not_loaded() {
    let planted = Planted::new();
    let bundles = root().join("models/bundles").canonicalize().expect("the bundles");
    let source = clip("speech-be.flac").canonicalize().expect("a clip");
    let args = ["encode", "-y", text(&source), "out.mka"];
    // Where no ONNX Runtime is installed this fails, and must not say that it looked here.
    let output = planted.run(&args, &[("SISKIN_BUNDLES", &bundles)]);
    let said = stderr(&output);
    assert!(output.status.success() || said.contains("ONNX Runtime cannot be loaded"), "{said}");
    assert!(!said.contains(text(planted.folder.path())), "{said}");
    assert!(!planted.mark().exists(), "the planted library ran");

    // A relative path in the variable of development would be the working directory.
    let output = planted.run(&args, &[("SISKIN_BUNDLES", &bundles), ("SISKIN_DEV_ROOT", Path::new(".."))]);
    assert!(!planted.mark().exists(), "the planted library ran: {}", stderr(&output));

    // The same library does run where a developer names the folder, or this test could not fail.
    planted.run(&args, &[("SISKIN_BUNDLES", &bundles), ("SISKIN_DEV_ROOT", planted.folder.path())]);
    assert!(planted.mark().exists());
}

#[test]
fn a_bundle_with_a_shipped_name_in_the_working_directory_is_not_used() {
    let planted = Planted::new();
    let bundles = root().join("models/bundles").canonicalize().expect("the bundles");
    for path in [bundles.clone(), PathBuf::from(format!(":{}:", bundles.display()))] {
        let output = planted.run(&["models", "--json"], &[("SISKIN_BUNDLES", &path)]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("speech-24k"), "{}", stderr(&output));
        assert!(!said.contains(text(planted.folder.path())), "{said}");
    }
    let output = planted.run(&["models"], &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
    assert!(!said.contains("below"), "{said}");

    // The name means the shipped one; the folder can still be named as a path.
    let source = clip("speech-be.flac").canonicalize().expect("a clip");
    let with = |model: &str| {
        let args = ["encode", "-y", "--model", model, text(&source), "out.mka"];
        stderr(&planted.run(&args, &[("SISKIN_BUNDLES", &bundles)]))
    };
    assert!(!with("speech-24k").contains("manifest"), "{}", with("speech-24k"));
    assert!(with("./speech-24k").contains("manifest.json"), "{}", with("./speech-24k"));
}
