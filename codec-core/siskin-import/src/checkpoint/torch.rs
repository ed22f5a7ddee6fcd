use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use zip::{CompressionMethod, ZipArchive};

use super::Tensor;
use super::pickle::{Item, TensorPlace, read_pickle};

/// Dictionaries within dictionaries; checkpoints have two at most.
const MAX_DEPTH: usize = 4;
/// Entries of all dictionaries of a checkpoint.
const MAX_ENTRIES: usize = 1_000_000;
/// How many times an archive's bytes its files and its tensors may come to: tensors may share a storage (tied weights), but
/// one under a hundred thousand names would fill the memory.
const MAX_SHARING: usize = 4;

/// An archive and the bytes that may still be read from it.
struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    left: usize,
}

/// Tensors and whole numbers by their names.
type Contents = (BTreeMap<String, Tensor>, BTreeMap<String, i64>);

/// What was found in dictionaries.
#[derive(Default)]
struct Found {
    places: Vec<(String, TensorPlace)>,
    numbers: BTreeMap<String, i64>,
    entries: usize,
}

/// Reads an archive that `torch.save` wrote. What is in dictionaries within the first has its key and a dot before its name.
pub(super) fn read_archive(bytes: &[u8]) -> Result<Contents, String> {
    let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|e| e.to_string())?;
    let mut archive = Archive { zip, left: bytes.len().saturating_mul(MAX_SHARING) };
    // A name that cannot be read is not the one looked for.
    let names = archive.zip.file_names().filter_map(Result::ok);
    let pickle = names.map(|n| n.into_owned()).find(|n| n.ends_with("/data.pkl"));
    let pickle = pickle.ok_or("an archive without data.pkl: not a PyTorch checkpoint")?;
    let folder = pickle.trim_end_matches("data.pkl").to_owned();
    let order = format!("{folder}byteorder");
    if archive.zip.index_for_name(&order).is_some() && archive.read_file(&order)? != b"little" {
        return Err("numbers that are not little-endian".into());
    }
    let root = read_pickle(&archive.read_file(&pickle)?)?;
    let mut found = Found::default();
    collect(&root, "", 0, &mut found)?;
    check_sharing(&found.places, bytes.len())?;
    let mut storages = BTreeMap::new();
    let mut tensors = BTreeMap::new();
    for (name, place) in found.places {
        let key = place.storage.key.to_string();
        if !storages.contains_key(&key) {
            let file = archive.read_file(&format!("{folder}data/{key}"))?;
            storages.insert(key.clone(), file);
        }
        let tensor = read_tensor(&place, &storages[&key]).map_err(|e| format!("tensor {name}: {e}"))?;
        tensors.insert(name, tensor);
    }
    Ok((tensors, found.numbers))
}

impl Archive<'_> {
    fn read_file(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let file = self.zip.by_name(name).map_err(|e| format!("{name}: {e}"))?;
        // PyTorch compresses nothing, and what is compressed may be a thousand times the archive.
        if file.compression() != CompressionMethod::Stored {
            return Err(format!("{name} is compressed, which PyTorch's files are not"));
        }
        let mut bytes = Vec::new();
        file.take(self.left as u64 + 1).read_to_end(&mut bytes).map_err(|e| format!("{name}: {e}"))?;
        // Entries may lie upon one another.
        self.left = self.left.checked_sub(bytes.len()).ok_or_else(|| too_much(name))?;
        Ok(bytes)
    }
}

fn too_much(name: &str) -> String {
    format!("{name}: more than {MAX_SHARING} times what the archive holds")
}

/// Checks that the tensors come to no more than what the archive may stand for.
fn check_sharing(places: &[(String, TensorPlace)], bytes: usize) -> Result<(), String> {
    let mut left = bytes.saturating_mul(MAX_SHARING);
    for (name, place) in places {
        let count = place.shape.iter().fold(1usize, |n, &d| n.saturating_mul(d));
        // A shape beyond its storage is refused as such when it is read.
        let size = count.min(place.storage.count).saturating_mul(place.storage.number.bytes());
        left = left.checked_sub(size).ok_or_else(|| too_much(name))?;
    }
    Ok(())
}

fn collect(item: &Item, prefix: &str, depth: usize, found: &mut Found) -> Result<(), String> {
    let Item::Dict(dict) = item else { return Ok(()) };
    if depth > MAX_DEPTH {
        return Err(format!("dictionaries more than {MAX_DEPTH} deep"));
    }
    for pair in dict.borrow().0.chunks_exact(2) {
        let [key, value] = pair else { continue };
        // A dictionary may stand in many places of others, so entries are counted on the way.
        found.entries += 1;
        if found.entries > MAX_ENTRIES {
            return Err(format!("more than {MAX_ENTRIES} entries in dictionaries"));
        }
        let Item::Text(key) = key else { continue };
        let name = if prefix.is_empty() { key.to_string() } else { format!("{prefix}.{key}") };
        match value {
            Item::Tensor(place) => found.places.push((name, (**place).clone())),
            Item::Int(number) => drop(found.numbers.insert(name, *number)),
            other => collect(other, &name, depth + 1, found)?,
        }
    }
    Ok(())
}

fn read_tensor(place: &TensorPlace, data: &[u8]) -> Result<Tensor, String> {
    let (storage, shape) = (&place.storage, &place.shape);
    if data.len() / storage.number.bytes() < storage.count {
        return Err(format!("{} numbers, its file holds {} bytes", storage.count, data.len()));
    }
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX);
    // Strides of 0 would let a few bytes stand for any number of values.
    if count > storage.count {
        return Err(format!("shape {shape:?}, its storage holds {} numbers", storage.count));
    }
    let reach = shape.iter().zip(&place.strides).try_fold(place.offset, |at, (&d, &s)| {
        d.saturating_sub(1).checked_mul(s).and_then(|r| at.checked_add(r))
    });
    if count > 0 && reach.is_none_or(|last| last >= storage.count) {
        return Err(format!("shape {shape:?} reaches beyond its storage of {} numbers", storage.count));
    }
    let mut values = Vec::with_capacity(count);
    for index in 0..count {
        let (mut rest, mut at) = (index, place.offset);
        for (&d, &s) in shape.iter().zip(&place.strides).rev() {
            at += rest % d * s;
            rest /= d;
        }
        values.push(storage.number.read(data, at));
    }
    Ok(Tensor { shape: shape.clone(), values })
}
