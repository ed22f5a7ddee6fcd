//! What a stream of tokens looks like: how many codebooks of which size, in which layout, with which special ids.

use std::collections::BTreeMap;

use super::Layout;
use crate::{Error, Result};
use siskin_model::bundle::{Bundle, Specials};

/// The shape and meaning of a stream of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// Codes a frame, `[stage][group]`.
    pub(super) codebooks: usize,
    /// Entries of a codebook: a code is below.
    pub(super) size: u32,
    pub(super) layout: Layout,
    pub(super) specials: Specials,
}

impl Format {
    /// Frames of `codebooks` codes (1 to 1024) below `size` (2 to 65,536) in a layout; `special_ids` as in a manifest.
    ///
    /// # Errors
    /// [`Error::Parameter`] for values out of range, or if the layout or an id does not fit them.
    pub fn new(
        codebooks: usize,
        size: u32,
        layout: Layout,
        special_ids: &BTreeMap<String, i64>,
    ) -> Result<Self> {
        if !(1..=1024).contains(&codebooks) {
            return Err(Error::parameter("codebooks", codebooks, "1 to 1024"));
        }
        if !(2..=65_536).contains(&size) {
            return Err(Error::parameter("codebook size", size, "2 to 65536"));
        }
        layout.check(codebooks)?;
        let top = layout.top(codebooks, size);
        let specials = Specials::new(special_ids, size, top)?;
        let bottom = layout.bottom();
        if let Some((name, id)) = specials.by_name().iter().find(|(_, id)| (bottom..top).contains(id)) {
            return Err(Error::parameter("special id", format!("{name} = {id}"), "no code's id"));
        }
        Ok(Self { codebooks, size, layout, specials })
    }

    /// The format of a bundle's tokens at `stages` residual stages; `layout` as [`Layout::parse`] reads it.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the bundle has not so many stages or the layout does not fit.
    pub fn of_bundle(bundle: &Bundle, stages: u8, layout: &str) -> Result<Self> {
        let manifest = bundle.manifest();
        let quantizer = &manifest.quantizer;
        if !(1..=quantizer.stages).contains(&stages) {
            return Err(Error::parameter("stages", stages, format!("1 to {}", quantizer.stages)));
        }
        let codebooks = usize::from(stages) * usize::from(quantizer.groups);
        let layout = Layout::parse(layout, codebooks, quantizer.size)?;
        Self::new(codebooks, quantizer.size, layout, &manifest.special_ids)
    }

    /// Codes a frame.
    pub fn codebooks(&self) -> usize {
        self.codebooks
    }

    /// Entries of a codebook.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// How the codes are laid out.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Ids with a meaning of their own.
    pub fn specials(&self) -> &Specials {
        &self.specials
    }

    /// Checks a frame's codes.
    ///
    /// # Errors
    /// [`Error::Token`] for another number of codes or one that is no entry of its codebook.
    pub fn check_frame(&self, frame: u64, codes: &[u16]) -> Result<()> {
        let found = codes.len();
        if found != self.codebooks {
            return Err(super::TokenError::Codebooks { found, codebooks: self.codebooks }.into());
        }
        match codes.iter().position(|&c| u32::from(c) >= self.size) {
            None => Ok(()),
            Some(codebook) => Err(super::TokenError::Range {
                position: frame * self.codebooks as u64 + codebook as u64,
                codebook,
                value: codes[codebook].into(),
                low: 0,
                high: i64::from(self.size) - 1,
            }
            .into()),
        }
    }
}
