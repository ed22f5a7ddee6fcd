//! `siskin share`: a coded file as a page that plays it, with nothing to install and no network.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use flate2::Compression;
use flate2::read::GzEncoder;
use siskin_core::bundle::{Bundle, player_folders};

use crate::events;
use crate::failure::usage_error;
use crate::media_file::{CodedFile, Probe};
use crate::report::{Report, ReportArgs};
use crate::target::{OverwriteArgs, Target, is_dash};
use crate::units;
use crate::video::VideoFile;

/// The player's scripts, as the page links them.
const SCRIPTS: [&str; 9] = [
    "audio.js",
    "element.js",
    "view.js",
    "worker.js",
    "siskin.js",
    "loader.js",
    "pictures.js",
    "resources.js",
    "stretch.js",
];
const WORKLET: &str = "worklet.js";
const MODULE: &str = "siskin.wasm";

/// Arguments of `share`.
#[derive(Debug, Args)]
pub(crate) struct ShareArgs {
    /// Coded file with sound, - for stdin
    input: PathBuf,
    /// The page, - for stdout [default: the input's name with .html]
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Title of the page [default: the file's tag TITLE, else its name]
    #[arg(long)]
    title: Option<String>,
    #[command(flatten)]
    overwrite: OverwriteArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

pub(crate) fn run_share(args: &ShareArgs) -> Result<ExitCode> {
    let output = match &args.output {
        Some(output) => output.clone(),
        None if is_dash(&args.input) => {
            return Err(usage_error("name a page with -o: stdin has no name of its own"));
        }
        None => args.input.with_extension("html"),
    };
    let report = Report::new(&args.report, is_dash(&output))?;
    let sound = read_input(&args.input)?;
    let name = args.input.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut file = CodedFile::from_memory(&args.input.display().to_string(), sound.clone())?;
    let bundle = Bundle::for_stream(file.header(), None)?;
    let probe = Probe::of(&mut file, Some(&bundle))?;
    if probe.samples == 0 {
        bail!("{} holds no packets that can be decoded", file.name());
    }
    // The player conceals what is damaged, as the program does; whoever shares it should know.
    if let Some((_, seconds, what)) = probe.faults.first() {
        report.warn(&format!("{} is damaged at {seconds:.2} s: {what}", file.name()))?;
    }
    if !is_dash(&args.input) && VideoFile::is_video(&args.input) {
        report.warn(&format!("{} has video, of which the page plays the sound alone", file.name()))?;
    }
    let tag = file.tags().iter().find(|t| t.0 == "TITLE").map(|t| t.1.clone());
    let title = args.title.clone().or(tag).unwrap_or_else(|| name.clone());
    let page = Page { title: &title, name: &name, bundle: &bundle, sound: &sound }.write(&find_player()?)?;
    let target = Target::open(&output, args.overwrite.choice(), &args.input)?;
    match target.handle()? {
        Some(mut file) => file.write_all(page.as_bytes()),
        None => std::io::stdout().lock().write_all(page.as_bytes()),
    }
    .with_context(|| output.display().to_string())?;
    target.commit()?;
    let seconds = probe.samples as f64 / f64::from(file.header().sample_rate);
    report.done(
        &format!("{} in a page of {:.1} MB", units::format_time(seconds), page.len() as f64 / 1e6),
        &events::Share {
            input: args.input.to_string_lossy(),
            output: output.to_string_lossy(),
            model: &bundle.manifest().name,
            model_id: bundle.id().to_string(),
            seconds,
            bytes: page.len() as u64,
        },
    )?;
    Ok(ExitCode::SUCCESS)
}

fn read_input(path: &Path) -> Result<Vec<u8>> {
    // 90 hours at 6 kb/s, as much as is taken from a pipe elsewhere: browsers do not open larger pages.
    const MAX: u64 = 256 << 20;
    let mut data = Vec::new();
    if is_dash(path) {
        std::io::stdin().lock().take(MAX + 1).read_to_end(&mut data).context("stdin")?;
    } else {
        let file = fs::File::open(path).with_context(|| path.display().to_string())?;
        file.take(MAX + 1).read_to_end(&mut data).with_context(|| path.display().to_string())?;
    }
    if data.len() as u64 > MAX {
        bail!("{}: more than {} MiB, which no browser opens in a page", path.display(), MAX >> 20);
    }
    Ok(data)
}

/// The folder of the player's files.
fn find_player() -> Result<PathBuf> {
    let folders = player_folders();
    let found = folders.iter().find(|f| f.join(MODULE).is_file());
    found.cloned().ok_or_else(|| {
        let searched: Vec<_> = folders.iter().map(|f| f.display().to_string()).collect();
        anyhow::anyhow!(
            "the web player is not installed (./x install brings it, ./x web builds it): searched {}",
            searched.join(", ")
        )
    })
}

/// What a page is made of.
struct Page<'a> {
    title: &'a str,
    name: &'a str,
    bundle: &'a Bundle,
    sound: &'a [u8],
}

impl Page<'_> {
    /// The page's text, from the template and the scripts in the player's folder.
    fn write(&self, player: &Path) -> Result<String> {
        let read = |name: &str| -> Result<String> {
            let path = player.join(name);
            fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let mut scripts = BTreeMap::new();
        for name in SCRIPTS.iter().chain([&WORKLET]) {
            scripts.insert(*name, read(name)?);
        }
        let module = player.join(MODULE);
        let module = fs::read(&module).with_context(|| module.display().to_string())?;
        let manifest = self.bundle.manifest();
        let text = self.bundle.path().join("manifest.json");
        let text = fs::read(&text).with_context(|| text.display().to_string())?;
        let tables = manifest.entropy.as_ref().map(|e| e.file.as_str());
        let names = [Some(manifest.decoder.file.as_str()), Some(manifest.quantizer.file.as_str()), tables];
        let mut files = BTreeMap::new();
        for name in names.into_iter().flatten() {
            files.insert(name, pack(&self.bundle.file_bytes(name)?)?);
        }
        let parts = serde_json::json!({
            "scripts": scripts,
            "module": pack(&module)?,
            "bundle": { "name": manifest.name, "manifest": pack(&text)?, "files": files },
            "sound": { "name": self.name, "bytes": pack(self.sound)? },
        });
        // In a script element nothing may look like its end.
        let parts = parts.to_string().replace('<', "\\u003c");
        let template = read("share.html")?;
        let mut page = String::with_capacity(template.len() + parts.len());
        let mut rest = template.as_str();
        // One walk, so that what is put in is not looked at for more to put in.
        while let Some((before, mark, after)) = next_mark(rest) {
            page.push_str(before);
            match mark {
                Mark::Title => page.push_str(&escape(self.title)),
                Mark::Parts => page.push_str(&parts),
            }
            rest = after;
        }
        page.push_str(rest);
        Ok(page)
    }
}

/// What stands in the template for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Title,
    Parts,
}

/// The text before the next mark, the mark, and the text behind it.
fn next_mark(text: &str) -> Option<(&str, Mark, &str)> {
    let marks = [("@TITLE@", Mark::Title), ("@PARTS@", Mark::Parts)];
    let found = marks.into_iter().filter_map(|(name, mark)| Some((text.find(name)?, name, mark)));
    let (at, name, mark) = found.min_by_key(|f| f.0)?;
    Some((&text[..at], mark, &text[at + name.len()..]))
}

/// Text as it may stand in an element or in a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Bytes as text: gzip, which browsers open themselves, in base64.
fn pack(data: &[u8]) -> Result<String> {
    let mut packed = Vec::new();
    GzEncoder::new(data, Compression::best()).read_to_end(&mut packed)?;
    Ok(base64(&packed))
}

/// Base64 (RFC 4648, section 4).
fn base64(data: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(data.len().div_ceil(3) * 4);
    for group in data.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, i| bits << 8 | u32::from(group.get(i).copied().unwrap_or(0)));
        for digit in 0..4 {
            // A group of n bytes has n + 1 digits.
            let is_digit = digit <= group.len();
            let value = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if is_digit { DIGITS[value] as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (data, text) in cases {
            assert_eq!(base64(data.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn titles_do_not_leave_their_place() {
        assert_eq!(escape("<b> & \"x\""), "&lt;b&gt; &amp; &quot;x&quot;");
        assert_eq!(next_mark("a@PARTS@b@TITLE@"), Some(("a", Mark::Parts, "b@TITLE@")));
        assert_eq!(next_mark("a@b@"), None);
    }
}
