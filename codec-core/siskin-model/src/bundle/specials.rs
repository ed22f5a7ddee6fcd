use std::collections::BTreeMap;

use crate::{Error, Result};

/// Ids with a meaning of their own, by name.
///
/// Four names mean something to the layouts: `pad` (no code here), `start`, `end` and `separator` (the coarse codes are
/// through). Other names are kept, so that an error can say what a token was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Specials {
    by_name: BTreeMap<String, i64>,
    pad: i64,
    start: i64,
    end: i64,
    separator: i64,
}

impl Specials {
    /// The ids of a vocabulary whose codes are below `top`. `named` are those of the manifest, which count from a
    /// codebook of `size` entries: ids from `size` up move up with `top`. The four names that are not given get the
    /// lowest free ids from `top` on.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// use siskin_model::bundle::Specials;
    ///
    /// # fn main() -> siskin_model::Result<()> {
    /// // The manifest counts from one codebook of 1024 entries; here the codes of eight lie one behind another.
    /// let named = BTreeMap::from([("end".to_owned(), 1024)]);
    /// let specials = Specials::new(&named, 1024, 8 * 1024)?;
    /// assert_eq!((specials.end(), specials.pad(), specials.start()), (8192, 8193, 8194));
    /// assert_eq!(specials.name(8195), Some("separator"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Parameter`] if an id is a code or two names have one id.
    pub fn new(named: &BTreeMap<String, i64>, size: u32, top: i64) -> Result<Self> {
        let mut by_name: BTreeMap<String, i64> = BTreeMap::new();
        for (name, &id) in named {
            if (0..i64::from(size)).contains(&id) {
                return Err(Error::parameter("special id", format!("{name} = {id}"), "no code's id"));
            }
            // Ids below 0 lie below the codes of every layout, so they need not move.
            let id = if id < 0 { id } else { id.saturating_add(top - i64::from(size)) };
            // Two meanings of one id could not be told apart in a stream of tokens.
            if by_name.values().any(|&other| other == id) {
                return Err(Error::parameter("special id", format!("{name} = {id}"), "an id of its own"));
            }
            by_name.insert(name.clone(), id);
        }
        // In a fixed order of names, so that a layout's ids are the same in every program.
        let mut free = top;
        for name in ["pad", "start", "end", "separator"] {
            if !by_name.contains_key(name) {
                while by_name.values().any(|&id| id == free) {
                    free += 1;
                }
                by_name.insert(name.to_owned(), free);
            }
        }
        let id = |name: &str| by_name.get(name).copied().unwrap_or_default();
        let (pad, start, end, separator) = (id("pad"), id("start"), id("end"), id("separator"));
        Ok(Self { by_name, pad, start, end, separator })
    }

    /// No code here, or not yet.
    pub fn pad(&self) -> i64 {
        self.pad
    }

    /// Audio begins.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// Audio ends.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// The coarse codes are through, finer ones follow.
    pub fn separator(&self) -> i64 {
        self.separator
    }

    /// All of them.
    pub fn by_name(&self) -> &BTreeMap<String, i64> {
        &self.by_name
    }

    /// The name of a special id.
    pub fn name(&self, id: i64) -> Option<&str> {
        self.by_name.iter().find(|(_, v)| **v == id).map(|(name, _)| name.as_str())
    }
}
