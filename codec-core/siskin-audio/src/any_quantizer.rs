use siskin_error::Result;
use siskin_model::bundle::{Bundle, QuantizerKind};

use crate::part_quantizer::PartQuantizer;
use crate::quantizer::ResidualQuantizer;
use crate::rate::StageCandidates;
use crate::search::BeamSearch;

/// The quantizer of a bundle, whichever kind it is.
#[derive(Clone)]
pub(crate) enum AnyQuantizer {
    Residual(ResidualQuantizer),
    Parts(PartQuantizer),
}

impl AnyQuantizer {
    /// # Errors
    /// [`Error::BadBundle`](siskin_error::Error::BadBundle) if the codebooks' file is not as the manifest says.
    pub(crate) fn from_bundle(bundle: &Bundle) -> Result<Self> {
        Ok(match bundle.manifest().quantizer.kind {
            QuantizerKind::Rvq | QuantizerKind::Grvq => {
                Self::Residual(ResidualQuantizer::from_bundle(bundle)?)
            }
            QuantizerKind::Split | QuantizerKind::Factorized => {
                Self::Parts(PartQuantizer::from_bundle(bundle)?)
            }
        })
    }

    /// Values of a frame's latents.
    pub(crate) fn latent_len(&self) -> usize {
        match self {
            Self::Residual(q) => q.latent_dim(),
            Self::Parts(q) => q.latent_len(),
        }
    }

    /// A search of `width` beams; the quantizers of parts always take the nearest entry.
    pub(crate) fn new_search(&self, width: usize) -> Option<BeamSearch> {
        match self {
            Self::Residual(q) => Some(BeamSearch::new(q.codebooks().shape(), width)),
            Self::Parts(_) => None,
        }
    }

    pub(crate) fn quantize(&mut self, latent: &[f32], codes: &mut [u16], search: &mut Option<BeamSearch>) {
        match (self, search) {
            (Self::Residual(q), Some(search)) => q.quantize_latent(latent, codes, search),
            (Self::Parts(q), _) => q.quantize(latent, codes, |_, _| {}),
            // `new_search` gives one for this kind.
            (Self::Residual(_), None) => {}
        }
    }

    pub(crate) fn quantize_all_stages(
        &mut self,
        latent: &[f32],
        candidates: &mut StageCandidates,
        search: &mut Option<BeamSearch>,
    ) {
        match (self, search) {
            (Self::Residual(q), Some(search)) => q.quantize_all_stages(latent, candidates, search),
            (Self::Parts(q), _) => q.quantize_all_stages(latent, candidates),
            (Self::Residual(_), None) => {}
        }
    }

    /// # Errors
    /// [`Error::Bitstream`](siskin_error::Error::Bitstream) if a code is not below the codebook's size or there are more
    /// codes than codebooks.
    pub(crate) fn dequantize(&self, codes: &[u16], latent: &mut [f32]) -> Result<()> {
        match self {
            Self::Residual(q) => q.dequantize_codes(codes, latent),
            Self::Parts(q) => q.dequantize(codes, latent),
        }
    }
}

/// Checks that a bundle's codebooks are what its manifest says.
///
/// # Errors
/// [`Error::BadBundle`](siskin_error::Error::BadBundle) with the tensor that is not.
pub fn check_codebooks(bundle: &Bundle) -> Result<()> {
    AnyQuantizer::from_bundle(bundle).map(drop)
}
