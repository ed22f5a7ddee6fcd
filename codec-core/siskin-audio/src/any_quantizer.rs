use siskin_error::{Error, Result};
use siskin_model::bundle::{Bundle, QuantizerKind, QuantizerSpec};

use crate::part_quantizer::PartQuantizer;
use crate::quantizer::ResidualQuantizer;
use crate::rate::StageCandidates;
use crate::search::{BeamSearch, DEFAULT_SEARCH_WIDTH};

/// The quantizer of a bundle, whichever kind it is.
#[derive(Clone)]
pub(crate) enum AnyQuantizer {
    Residual(ResidualQuantizer),
    Parts(PartQuantizer),
}

impl AnyQuantizer {
    /// # Errors
    /// [`Error::BadBundle`] if the codebooks' file is not as the manifest says.
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

    /// What turns codes into the decoder's latents: the same, unless the bundle has codebooks for that alone.
    ///
    /// # Errors
    /// As [`from_bundle`](Self::from_bundle).
    pub(crate) fn for_decoder(bundle: &Bundle) -> Result<Self> {
        let spec = &bundle.manifest().quantizer;
        let Some(file) = spec.decoder_file.clone() else { return Self::from_bundle(bundle) };
        let spec = QuantizerSpec { file, decoder_file: None, ..spec.clone() };
        Ok(Self::Residual(ResidualQuantizer::of_spec(bundle, &spec)?))
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
            Self::Residual(q) => {
                q.prepare_search();
                Some(BeamSearch::new(q.codebooks().shape(), width))
            }
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
        is_enough: impl Fn(&StageCandidates, usize) -> bool,
    ) {
        match (self, search) {
            (Self::Residual(q), Some(search)) => {
                q.quantize_all_stages(latent, candidates, search, is_enough);
            }
            (Self::Parts(q), _) => q.quantize_all_stages(latent, candidates),
            (Self::Residual(_), None) => {}
        }
    }

    /// # Errors
    /// [`Error::Bitstream`] if a code is not below the codebook's size or there are more
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
/// [`Error::BadBundle`] with the tensor that is not.
pub fn check_codebooks(bundle: &Bundle) -> Result<()> {
    AnyQuantizer::from_bundle(bundle)?;
    AnyQuantizer::for_decoder(bundle).map(drop)
}

/// A bundle's quantizer by itself, for models that give latents where codes are wanted.
pub struct LatentQuantizer {
    quantizer: AnyQuantizer,
    search: Option<BeamSearch>,
}

impl LatentQuantizer {
    /// The quantizer of a bundle.
    ///
    /// # Errors
    /// As for [`check_codebooks`].
    pub fn from_bundle(bundle: &Bundle) -> Result<Self> {
        let quantizer = AnyQuantizer::from_bundle(bundle)?;
        Ok(Self { search: quantizer.new_search(DEFAULT_SEARCH_WIDTH), quantizer })
    }

    /// Values of a frame's latents.
    pub fn latent_len(&self) -> usize {
        self.quantizer.latent_len()
    }

    /// Quantizes a frame's latents with as many stages as fill `codes`, `[stage][group]`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for another number of values.
    pub fn quantize(&mut self, latent: &[f32], codes: &mut [u16]) -> Result<()> {
        if latent.len() != self.latent_len() {
            return Err(Error::parameter("latent dimension", latent.len(), self.latent_len()));
        }
        self.quantizer.quantize(latent, codes, &mut self.search);
        Ok(())
    }
}
