//! The format of a stream of tokens: codes per frame, size of a codebook, layout, special ids.

use std::collections::BTreeMap;

use siskin_error::{Error, Result, TokenError};
use siskin_model::bundle::{Bundle, Specials};

use crate::tokens::layout::Layout;

/// The shape and meaning of a stream of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// Codes per frame, `[stage][group]`: stages times groups of the codec.
    pub(crate) codebooks: usize,
    /// Entries per codebook: codes are below.
    pub(crate) size: u32,
    pub(crate) layout: Layout,
    pub(crate) specials: Specials,
}

impl Format {
    /// A format of frames of `codebooks` codes (1 to 1024) below `size` (2 to 65,536) in a layout; `special_ids` as in a manifest.
    ///
    /// # Errors
    /// [`Error::Parameter`] for values out of range, or if the layout or an id does not fit them.
    pub fn new(
        codebooks: usize,
        size: u32,
        layout: Layout,
        special_ids: &BTreeMap<String, i64>,
    ) -> Result<Self> {
        // 64 stages of 16 groups are the most that a stream header can say.
        if !(1..=1024).contains(&codebooks) {
            return Err(Error::parameter("codebooks", codebooks, "1 to 1024"));
        }
        if !(2..=65_536).contains(&size) {
            return Err(Error::parameter("codebook size", size, "2 to 65536"));
        }
        layout.check_codebooks(codebooks)?;
        let top = layout.end_id(size);
        // Ids given from `size` on move up with the layout's highest code id; missing ones follow after it.
        let specials = Specials::new(special_ids, size, top)?;
        let bottom = layout.lowest_id();
        if let Some((name, id)) = specials.by_name().iter().find(|(_, id)| (bottom..top).contains(id)) {
            return Err(Error::parameter("special id", format!("{name} = {id}"), "no code's id"));
        }
        Ok(Self { codebooks, size, layout, specials })
    }

    /// The format of a bundle's tokens with `stages` residual stages; `layout` is a name for [`Layout::parse`].
    ///
    /// # Errors
    /// [`Error::Parameter`] if the bundle has fewer stages or the layout does not fit.
    pub fn from_bundle(bundle: &Bundle, stages: u8, layout: &str) -> Result<Self> {
        let manifest = bundle.manifest();
        let quantizer = &manifest.quantizer;
        if !(1..=quantizer.stages).contains(&stages) {
            return Err(Error::parameter("stages", stages, format!("1 to {}", quantizer.stages)));
        }
        let codebooks = usize::from(stages) * usize::from(quantizer.groups);
        let layout = Layout::parse(layout, codebooks, quantizer.size)?;
        Self::new(codebooks, quantizer.size, layout, &manifest.special_ids)
    }

    /// Codes per frame: stages times groups of the codec.
    pub fn codes_per_frame(&self) -> usize {
        self.codebooks
    }

    /// Entries per codebook.
    pub fn codebook_size(&self) -> u32 {
        self.size
    }

    /// The layout of the codes.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The ids that are no codes: `pad`, `end` and so on.
    pub fn special_ids(&self) -> &Specials {
        &self.specials
    }

    /// Checks a frame's codes.
    ///
    /// # Errors
    /// [`Error::Token`] for another number of codes or one that is not below the codebook's size.
    pub fn check_frame(&self, frame: u64, codes: &[u16]) -> Result<()> {
        let found = codes.len();
        if found != self.codebooks {
            return Err(TokenError::Codebooks { found, codebooks: self.codebooks }.into());
        }
        match codes.iter().position(|&c| u32::from(c) >= self.size) {
            None => Ok(()),
            Some(codebook) => Err(TokenError::Range {
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
