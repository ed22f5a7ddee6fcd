//! A page with all that it takes to play a file.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::read::GzEncoder;
use siskin_core::bundle::Bundle;

/// The decoder; where it is, the player is.
pub(super) const MODULE: &str = "siskin.wasm";

/// What a page is made of.
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    /// What the file is called when it is saved, without its extension.
    pub(super) name: &'a str,
    /// None where there is no sound.
    pub(super) bundle: Option<&'a Bundle>,
    pub(super) shows_video: bool,
    pub(super) file: &'a [u8],
}

impl Page<'_> {
    /// The page's text, from the template and the scripts in the player's folder.
    pub(super) fn write(&self, player: &Path) -> Result<String> {
        let element = if self.shows_video { "video" } else { "audio" };
        let mut scripts = BTreeMap::new();
        for script in [&format!("{element}.js"), "worker.js", "worklet.js"] {
            add_script(player, script, &mut scripts)?;
        }
        let module = player.join(MODULE);
        let module = fs::read(&module).with_context(|| module.display().to_string())?;
        let parts = serde_json::json!({
            "scripts": scripts,
            "module": pack(&module)?,
            "bundle": self.bundle.map(pack_bundle).transpose()?,
            "file": { "name": self.name, "bytes": pack(self.file)? },
        });
        // In a script element nothing may look like its end.
        let parts = parts.to_string().replace('<', "\\u003c");
        let template = read_text(&player.join("share.html"))?;
        let mut page = String::with_capacity(template.len() + parts.len());
        let mut rest = template.as_str();
        // One walk, so that what is put in is not looked at for more to put in.
        while let Some((before, mark, after)) = next_mark(rest) {
            page.push_str(before);
            match mark {
                Mark::Element => page.push_str(element),
                Mark::Title => page.push_str(&escape(self.title)),
                Mark::Parts => page.push_str(&parts),
            }
            rest = after;
        }
        page.push_str(rest);
        Ok(page)
    }
}

fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Adds a script of the player and those that it imports.
fn add_script(player: &Path, name: &str, scripts: &mut BTreeMap<String, String>) -> Result<()> {
    if scripts.contains_key(name) {
        return Ok(());
    }
    let text = read_text(&player.join(name))?;
    let imports: Vec<String> = imports(&text).map(str::to_owned).collect();
    scripts.insert(name.to_owned(), text);
    imports.iter().try_for_each(|import| add_script(player, import, scripts))
}

/// The scripts beside a script that it imports, as the player writes it.
fn imports(text: &str) -> impl Iterator<Item = &str> {
    text.split("from \"./").skip(1).filter_map(|rest| rest.split_once('"')).map(|(name, _)| name)
}

/// A bundle's manifest and the files that a decoder needs.
fn pack_bundle(bundle: &Bundle) -> Result<serde_json::Value> {
    let manifest = bundle.manifest();
    let text = bundle.path().join("manifest.json");
    let text = fs::read(&text).with_context(|| text.display().to_string())?;
    let tables = manifest.entropy.as_ref().map(|e| e.file.as_str());
    let names = [Some(manifest.decoder.file.as_str()), Some(manifest.quantizer.file.as_str()), tables];
    let mut files = BTreeMap::new();
    for name in names.into_iter().flatten() {
        files.insert(name, pack(&bundle.file_bytes(name)?)?);
    }
    Ok(serde_json::json!({ "name": manifest.name, "manifest": pack(&text)?, "files": files }))
}

/// What stands in the template for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Element,
    Title,
    Parts,
}

/// The text before the next mark, the mark, and the text behind it.
fn next_mark(text: &str) -> Option<(&str, Mark, &str)> {
    let marks = [("@ELEMENT@", Mark::Element), ("@TITLE@", Mark::Title), ("@PARTS@", Mark::Parts)];
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

    #[test]
    fn imports_are_those_beside_a_script() {
        let text = "import { A } from \"./a.js\";\nimport \"other\";\nexport { b, c } from \"./b-c.js\";\n";
        assert_eq!(imports(text).collect::<Vec<_>>(), ["a.js", "b-c.js"]);
    }
}
