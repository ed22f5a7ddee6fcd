//! A file that is still arriving, in any order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::rc::Rc;

use siskin_core::container::Reader;
use siskin_core::{Error, Limits};

use crate::state::{Failure, Result};

/// Bytes of a page. What arrives out of order must begin on one.
pub(crate) const PAGE: u64 = 1 << 16;

/// What has arrived of a file.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pages: BTreeMap<u64, Vec<u8>>,
    /// Known at the latest when the end has arrived.
    length: Option<u64>,
    /// The place that was read and has not arrived.
    wanted: u64,
}

impl Store {
    /// Takes bytes that lie at `offset`.
    ///
    /// # Errors
    /// If they neither begin a page nor go on with one.
    pub(crate) fn write(&mut self, mut offset: u64, mut data: &[u8]) -> std::result::Result<(), String> {
        while !data.is_empty() {
            let page = self.pages.entry(offset / PAGE).or_default();
            let at = (offset % PAGE) as usize;
            if at > page.len() {
                return Err(format!("bytes at {offset} do not follow those at {}", offset - offset % PAGE));
            }
            let (now, later) = data.split_at(data.len().min(PAGE as usize - at));
            page.truncate(at);
            page.extend_from_slice(now);
            offset += now.len() as u64;
            data = later;
        }
        Ok(())
    }

    /// Sets the file's length.
    pub(crate) fn set_length(&mut self, length: u64) {
        self.length = Some(length);
    }

    /// The place whose bytes were asked for and had not arrived.
    pub(crate) fn wanted(&self) -> u64 {
        self.wanted
    }
}

/// Reads a [`Store`]; several may read one.
#[derive(Debug)]
pub(crate) struct StoreReader {
    store: Rc<RefCell<Store>>,
    position: u64,
}

impl StoreReader {
    pub(crate) fn new(store: Rc<RefCell<Store>>) -> Self {
        Self { store, position: 0 }
    }
}

impl Read for StoreReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut store = self.store.borrow_mut();
        if store.length.is_some_and(|length| self.position >= length) {
            return Ok(0);
        }
        let at = (self.position % PAGE) as usize;
        let Some(rest) =
            store.pages.get(&(self.position / PAGE)).and_then(|p| p.get(at..)).filter(|r| !r.is_empty())
        else {
            store.wanted = self.position;
            return Err(ErrorKind::WouldBlock.into());
        };
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for StoreReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.store.borrow().length.and_then(|l| l.checked_add_signed(by)),
        };
        self.position = target.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// Opens a file by its beginning, else with what lies behind its packets.
pub(crate) fn open_reader(store: &Rc<RefCell<Store>>) -> Result<Reader<StoreReader>> {
    let source = || StoreReader::new(store.clone());
    match Reader::open_with(source(), Limits::default()) {
        Err(e @ Error::Container { .. }) if !e.is_would_block() => {
            // A program that edits files may have moved the description behind the packets.
            Reader::open_file(source(), Limits::default()).map_err(|later| match later {
                later if later.is_would_block() => Failure::NeedsData,
                _ => e.into(),
            })
        }
        open => Ok(open?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_arrived_is_read_and_the_rest_is_wanted() {
        let store = Rc::new(RefCell::new(Store::default()));
        let mut reader = StoreReader::new(store.clone());
        let data: Vec<u8> = (0..PAGE as usize + 10).map(|i| (i % 251) as u8).collect();
        let mut buffer = vec![0; data.len()];
        assert_eq!(reader.read(&mut buffer).map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
        store.borrow_mut().write(PAGE, &data[PAGE as usize..]).expect("a page");
        assert_eq!(
            store.borrow_mut().write(2 * PAGE + 1, &[0]),
            Err("bytes at 131073 do not follow those at 131072".into())
        );
        store.borrow_mut().write(0, &data[..100]).expect("a beginning");
        assert_eq!(reader.read(&mut buffer).ok(), Some(100));
        assert_eq!(reader.read(&mut buffer).map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
        assert_eq!(store.borrow().wanted(), 100);
        store.borrow_mut().write(100, &data[100..PAGE as usize]).expect("what follows");
        store.borrow_mut().set_length(data.len() as u64);
        reader.seek(SeekFrom::Start(0)).expect("a seek");
        let mut all = Vec::new();
        reader.read_to_end(&mut all).expect("all of it");
        assert_eq!(all, data);
    }
}
