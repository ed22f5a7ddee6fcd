//! Checkpoints as PyTorch and safetensors write them, and files that are none.

mod archives;
mod bad;
mod safe;

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A pickle under construction, in the instructions that `torch.save` uses.
#[derive(Default, Clone)]
struct Pickle(Vec<u8>);

impl Pickle {
    fn new() -> Self {
        Self(vec![0x80, 2])
    }

    fn code(mut self, code: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(code.as_ref());
        self
    }

    fn text(self, text: &str) -> Self {
        self.code(b"X").code((text.len() as u32).to_le_bytes()).code(text)
    }

    fn int(self, value: i64) -> Self {
        // LONG1 of eight bytes takes every value.
        self.code([0x8a, 8]).code(value.to_le_bytes())
    }

    fn tuple(self, values: &[i64]) -> Self {
        values.iter().fold(self.code(b"("), |p, &v| p.int(v)).code(b"t")
    }

    fn global(self, module: &str, name: &str) -> Self {
        self.code(b"c").code(format!("{module}\n{name}\n"))
    }

    /// The storage `data/KEY` of `count` numbers.
    fn storage(self, kind: &str, key: &str, count: i64) -> Self {
        let p = self.code(b"(").text("storage").global("torch", kind).text(key).text("cpu");
        p.int(count).code(b"tQ")
    }

    /// A tensor as a view of a storage.
    fn tensor(
        self,
        kind: &str,
        key: &str,
        [count, offset]: [i64; 2],
        shape: &[i64],
        strides: &[i64],
    ) -> Self {
        let p = self.global("torch._utils", "_rebuild_tensor_v2").code(b"(").storage(kind, key, count);
        let p = p.int(offset).tuple(shape).tuple(strides).code([0x89]);
        p.global("collections", "OrderedDict").code(b")RtR")
    }

    /// A dictionary of what `entries` adds: keys and values in turn.
    fn dict(self, entries: impl FnOnce(Self) -> Self) -> Self {
        entries(self.code(b"}(")).code(b"u")
    }

    fn end(self) -> Vec<u8> {
        self.code(b".").0
    }
}

/// An archive as `torch.save` writes it.
fn archive(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    write_archive(pickle, storages, CompressionMethod::Stored)
}

fn write_archive(pickle: &[u8], storages: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    let mut add = |name: String, bytes: &[u8]| {
        writer.start_file(name, options).expect("a file of the archive");
        writer.write_all(bytes).expect("its bytes");
    };
    add("archive/data.pkl".into(), pickle);
    add("archive/byteorder".into(), b"little");
    storages.iter().for_each(|(key, bytes)| add(format!("archive/data/{key}"), bytes));
    writer.finish().expect("an archive").into_inner()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
