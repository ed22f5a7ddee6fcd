//! The plugin loads no ONNX Runtime and no bundle from the working directory of the program that uses it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The plugin as cargo built it for this test, which lies beside it or one folder up.
fn built_plugin() -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let mut places = test.ancestors().skip(1).take(2).map(|folder| folder.join("libgstsiskin.so"));
    places.find(|file| file.is_file()).expect("the plugin, built with the tests")
}

fn bundles() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/bundles").canonicalize().expect("the bundles")
}

fn launch(folder: &Path, development: Option<&Path>) -> Output {
    let mut command = Command::new("gst-launch-1.0");
    for name in ["SISKIN_DEV_ROOT", "ORT_DYLIB_PATH", "XDG_DATA_HOME"] {
        command.env_remove(name);
    }
    if let Some(root) = development {
        command.env("SISKIN_DEV_ROOT", root);
    }
    command
        .current_dir(folder.join("below"))
        .env("HOME", folder.join("home"))
        .env("GST_PLUGIN_PATH", folder.join("plugins"))
        .env("GST_REGISTRY", folder.join("registry.bin"))
        .env("SISKIN_BUNDLES", bundles())
        .args([
            "-q",
            "audiotestsrc",
            "num-buffers=2",
            "!",
            "audio/x-raw,format=F32LE,rate=24000,channels=1",
            "!",
        ])
        .args(["siskinaudioenc", "!", "fakesink"])
        .output()
        .expect("gst-launch-1.0 starts")
}

#[test]
fn a_library_in_the_working_directory_is_not_loaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mark, source) = (folder.path().join("the-code-ran"), folder.path().join("mark.c"));
    let code = format!(
        "#include <stdio.h>\n__attribute__((constructor)) static void run(void) {{ FILE *f = fopen(\"{}\", \"w\"); if (f) \
         fclose(f); }}\n",
        mark.display()
    );
    fs::write(&source, code).expect("a source file");
    let library = folder.path().join(".siskin/ort/libonnxruntime.so");
    for place in [".siskin/ort", "lib/siskin", "below/lib/siskin", "below/.siskin/ort", "below/speech-24k"] {
        fs::create_dir_all(folder.path().join(place)).expect("a folder");
    }
    // Alone in a folder: GStreamer would take every library beside it for a plugin.
    fs::create_dir_all(folder.path().join("plugins")).expect("a folder");
    fs::copy(built_plugin(), folder.path().join("plugins/libgstsiskin.so")).expect("a copy");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(built.is_ok_and(|s| s.success()), "cc builds a library");
    for place in ["lib/siskin", "below/lib/siskin", "below/.siskin/ort", "below"] {
        fs::copy(&library, folder.path().join(place).join("libonnxruntime.so")).expect("a copy");
    }
    fs::write(folder.path().join("below/speech-24k/manifest.json"), "{ \"planted\": true }").expect("a file");

    let output = launch(folder.path(), None);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || said.contains("ONNX Runtime cannot be loaded"), "{said}");
    assert!(!said.contains("planted") && !said.contains(".siskin/ort"), "{said}");
    assert!(!mark.exists(), "the planted library ran");

    // The same library does run where a developer names the folder, or this test could not fail.
    let output = launch(folder.path(), Some(folder.path()));
    assert!(mark.exists(), "{}", String::from_utf8_lossy(&output.stderr));
}
