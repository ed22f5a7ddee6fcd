use std::ops::Range;
use std::sync::Arc;

use pulp::{Arch, Simd, WithSimd};
use safetensors::{Dtype, SafeTensors};
use siskin_error::{Error, OffsetUnit, Result};
use siskin_model::SharedCache;
use siskin_model::bundle::{Bundle, QuantizerKind, QuantizerSpec};

use crate::rate::StageCandidates;

/// The quantizers of Mimi (parts of the latent with stages of their own) and of DAC and SNAC (stages that search in a
/// projection). Codes are chosen as the published codecs do: stage by stage the nearest entry.
///
/// Clones, and the quantizers of one bundle in a process, share their codebooks.
#[derive(Clone)]
pub(crate) struct PartQuantizer {
    books: Arc<Books>,
    /// What the stages so far have left, `[dimension][latent]`.
    residual: Vec<f32>,
    /// The mean of the latents that a code stands for, then its projection.
    mean: Vec<f32>,
    projected: Vec<f32>,
    arch: Arch,
}

struct Books {
    levels: Vec<Level>,
    size: usize,
    dim: usize,
    per_frame: usize,
}

/// A codebook and what lies between it and the latent.
struct Level {
    /// Dimensions of the latent that it quantizes.
    part: Range<usize>,
    /// Latents that a code stands for.
    stride: usize,
    /// `[entry][width]` as the search compares them where that is not as they are: of length 1 where the angle alone counts.
    search: Option<Vec<f32>>,
    /// Half the squared length of each.
    half_norms: Vec<f32>,
    /// `[entry][width]`.
    entries: Vec<f32>,
    projection: Option<Projection>,
}

struct Projection {
    /// `[width][part]`.
    down: Vec<f32>,
    down_bias: Vec<f32>,
    /// `[part][width]`.
    up: Vec<f32>,
    up_bias: Vec<f32>,
}

/// PyTorch's bound below the length that `normalize` divides by.
const MIN_LENGTH: f32 = 1e-12;

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Eight sums side by side in one fixed order, so that codes do not depend on the vector width.
    let (a8, b8) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0f32; 8];
    for (x, y) in a8.0.iter().zip(b8.0) {
        (0..8).for_each(|i| sums[i] += x[i] * y[i]);
    }
    sums.iter().sum::<f32>() + a8.1.iter().zip(b8.1).map(|(x, y)| x * y).sum::<f32>()
}

fn normalize(x: &mut [f32]) {
    let length = dot(x, x).sqrt().max(MIN_LENGTH);
    x.iter_mut().for_each(|v| *v /= length);
}

impl Level {
    fn width(&self) -> usize {
        self.entries.len() / self.half_norms.len().max(1)
    }

    /// The entry nearest to `x`, the lowest of equals.
    // Inlined into the function that is compiled for several vector widths; sums are the same in each.
    #[inline(always)]
    fn find_nearest(&self, x: &[f32]) -> usize {
        let distances = self
            .search
            .as_ref()
            .unwrap_or(&self.entries)
            .chunks_exact(x.len())
            .zip(&self.half_norms)
            .map(|(e, n)| n - dot(x, e));
        let best = distances
            .enumerate()
            .fold((0, f32::INFINITY), |best, (i, d)| if d < best.1 { (i, d) } else { best });
        best.0
    }

    /// Adds `scale` times what entry `entry` stands for to the latents `slot` of this level.
    fn add_entry(&self, entry: usize, slot: usize, scale: f32, per_frame: usize, latent: &mut [f32]) {
        let width = self.width();
        let values = &self.entries[entry * width..(entry + 1) * width];
        for (row, d) in self.part.clone().enumerate() {
            let value = match &self.projection {
                None => values[row],
                Some(p) => dot(&p.up[row * width..(row + 1) * width], values) + p.up_bias[row],
            };
            let start = d * per_frame + slot * self.stride;
            latent[start..start + self.stride].iter_mut().for_each(|x| *x += scale * value);
        }
    }
}

/// The search of one code, compiled for several vector widths.
struct Nearest<'a> {
    level: &'a Level,
    target: &'a [f32],
}

impl WithSimd for Nearest<'_> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        self.level.find_nearest(self.target)
    }
}

impl PartQuantizer {
    /// A quantizer with a bundle's codebooks.
    ///
    /// # Errors
    /// [`Error::BadBundle`] with the tensor that does not fit the manifest.
    pub(crate) fn from_bundle(bundle: &Bundle) -> Result<Self> {
        static BOOKS: SharedCache<([u8; 32], QuantizerSpec, usize), Books> = SharedCache::new();
        let (spec, per_frame) = (&bundle.manifest().quantizer, bundle.manifest().latents_per_frame);
        let books = BOOKS.share((bundle.hash(), spec.clone(), per_frame), || {
            let read = read_books(&bundle.file_bytes(&spec.file)?, spec, per_frame);
            read.map_err(|e| Error::bad_bundle(bundle.path(), format!("{}: {e}", spec.file)))
        })?;
        let (residual, projected) = (vec![0.0; books.dim * per_frame], Vec::new());
        Ok(Self { residual, mean: Vec::new(), projected, books, arch: Arch::new() })
    }

    pub(crate) fn latent_len(&self) -> usize {
        self.residual.len()
    }

    /// Quantizes a frame's latents, `[dimension][latent]`, with as many stages as fill `codes`; after each stage `seen` gets
    /// the number of stages so far and the residual.
    pub(crate) fn quantize(
        &mut self,
        latent: &[f32],
        codes: &mut [u16],
        mut seen: impl FnMut(usize, &[f32]),
    ) {
        let Self { books, residual, mean, projected, arch } = self;
        residual.copy_from_slice(latent);
        let mut count = 0;
        for level in &books.levels {
            // The published codecs project all latents of a level before they subtract any; slots do not overlap.
            for slot in 0..books.per_frame / level.stride {
                let Some(code) = codes.get_mut(count) else { return };
                mean.clear();
                mean.extend(level.part.clone().map(|d| {
                    let start = d * books.per_frame + slot * level.stride;
                    residual[start..start + level.stride].iter().sum::<f32>() / level.stride as f32
                }));
                let target = match &level.projection {
                    None => &mut *mean,
                    Some(p) => {
                        projected.clear();
                        let rows = p.down.chunks_exact(mean.len()).zip(&p.down_bias);
                        projected.extend(rows.map(|(row, bias)| dot(row, mean) + bias));
                        normalize(projected);
                        &mut *projected
                    }
                };
                let entry = arch.dispatch(Nearest { level, target });
                *code = entry as u16;
                level.add_entry(entry, slot, -1.0, books.per_frame, residual);
                count += 1;
                seen(count, residual);
            }
        }
    }

    /// The same with each number of stages: as the stages are chosen one after another, each prefix is the choice of that
    /// many.
    pub(crate) fn quantize_all_stages(&mut self, latent: &[f32], candidates: &mut StageCandidates) {
        let stages = candidates.errors.len() - 1;
        let StageCandidates { paths, errors, .. } = candidates;
        errors.fill(0.0);
        errors[0] = dot(latent, latent);
        let (first, last) = paths.split_at_mut((stages - 1) * stages);
        self.quantize(latent, &mut last[..stages], |count, residual| errors[count] = dot(residual, residual));
        for count in 1..stages {
            first[(count - 1) * stages..][..count].copy_from_slice(&last[..count]);
        }
    }

    /// Sums what `codes` (any number of stages) stand for into `latent`.
    ///
    /// # Errors
    /// [`Error::Bitstream`] if a code is not below the codebook's size or there are more codes than codebooks.
    pub(crate) fn dequantize(&self, codes: &[u16], latent: &mut [f32]) -> Result<()> {
        let books = &*self.books;
        let fail = |at: usize, reason: String| {
            Err(Error::bitstream_at(OffsetUnit::Code, "frame", "code", at, reason))
        };
        if let Some(at) = codes.iter().position(|&c| usize::from(c) >= books.size) {
            return fail(at, format!("{}, allowed: 0 to {}", codes[at], books.size - 1));
        }
        let all: usize = books.levels.iter().map(|l| books.per_frame / l.stride).sum();
        if codes.len() > all {
            return fail(all, format!("{} codes, the codec has {all} a frame", codes.len()));
        }
        latent.fill(0.0);
        let mut codes = codes.iter();
        for level in &books.levels {
            for slot in 0..books.per_frame / level.stride {
                let Some(&code) = codes.next() else { return Ok(()) };
                level.add_entry(code.into(), slot, 1.0, books.per_frame, latent);
            }
        }
        Ok(())
    }
}

fn read_books(file: &[u8], spec: &QuantizerSpec, per_frame: usize) -> std::result::Result<Books, String> {
    let tensors = SafeTensors::deserialize(file).map_err(|e| e.to_string())?;
    let (size, dim) = (spec.size as usize, spec.dim);
    let read = |name: &str, shape: &[usize]| {
        let view = tensors.tensor(name).map_err(|e| e.to_string())?;
        if view.dtype() != Dtype::F32 {
            return Err(format!("{name} is {:?}, allowed: F32", view.dtype()));
        }
        let found = view.shape();
        // A width of 0 stands for whatever the file has.
        if found.len() != shape.len() || found.iter().zip(shape).any(|(f, s)| *s != 0 && f != s) {
            return Err(format!("{name} {found:?}, the manifest says {shape:?}"));
        }
        let values: Vec<f32> = view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        if values.iter().any(|x| !x.is_finite()) {
            return Err(format!("{name} holds values that are not finite"));
        }
        Ok((values, found.to_vec()))
    };
    let half_norms = |entries: &[f32], width: usize| -> Vec<f32> {
        entries.chunks_exact(width).map(|e| 0.5 * dot(e, e)).collect()
    };
    let levels = if spec.kind == QuantizerKind::Split {
        let width = dim / spec.parts.len();
        let (entries, _) = read("codebooks", &[spec.stages.into(), size, width])?;
        let parts = spec.parts.iter().enumerate();
        let stages = parts.flat_map(|(i, &n)| (0..n).map(move |_| i * width..(i + 1) * width));
        stages
            .zip(entries.chunks_exact(size * width))
            .map(|(part, book)| Level {
                part,
                stride: 1,
                search: None,
                half_norms: half_norms(book, width),
                entries: book.to_vec(),
                projection: None,
            })
            .collect()
    } else {
        let count = spec.strides.len();
        let (entries, shape) = read("codebooks", &[count, size, 0])?;
        let width = shape[2];
        if width == 0 || width > dim {
            return Err(format!("codebooks of width {width}, allowed: 1 to {dim}"));
        }
        let (down, _) = read("in_weight", &[count, width, dim])?;
        let (down_bias, _) = read("in_bias", &[count, width])?;
        let (up, _) = read("out_weight", &[count, dim, width])?;
        let (up_bias, _) = read("out_bias", &[count, dim])?;
        let level = |(i, &stride): (usize, &usize)| {
            let part = |values: &[f32], each: usize| values[i * each..(i + 1) * each].to_vec();
            let entries = part(&entries, size * width);
            let mut search = entries.clone();
            search.chunks_exact_mut(width).for_each(normalize);
            Level {
                part: 0..dim,
                stride,
                half_norms: half_norms(&search, width),
                search: Some(search),
                entries,
                projection: Some(Projection {
                    down: part(&down, width * dim),
                    down_bias: part(&down_bias, width),
                    up: part(&up, dim * width),
                    up_bias: part(&up_bias, dim),
                }),
            }
        };
        spec.strides.iter().enumerate().map(level).collect()
    };
    Ok(Books { levels, size, dim, per_frame })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two parts of one dimension each: steps of 4 and 1 in the first, of 2 in the second.
    fn split() -> PartQuantizer {
        let level = |part: Range<usize>, entries: [f32; 2]| Level {
            part,
            stride: 1,
            search: None,
            half_norms: entries.iter().map(|e| 0.5 * e * e).collect(),
            entries: entries.to_vec(),
            projection: None,
        };
        let levels = vec![level(0..1, [0.0, 4.0]), level(0..1, [0.0, 1.0]), level(1..2, [0.0, 2.0])];
        quantizer(Books { levels, size: 2, dim: 2, per_frame: 1 })
    }

    fn quantizer(books: Books) -> PartQuantizer {
        let residual = vec![0.0; books.dim * books.per_frame];
        let (mean, projected, arch) = (Vec::new(), Vec::new(), Arch::new());
        PartQuantizer { books: Arc::new(books), residual, mean, projected, arch }
    }

    #[test]
    fn parts_are_quantized_by_their_own_stages() {
        let (mut quantizer, mut codes, mut latent) = (split(), [9; 3], [0.0; 2]);
        quantizer.quantize(&[4.8, 1.4], &mut codes, |_, _| {});
        assert_eq!(codes, [1, 1, 1]);
        quantizer.dequantize(&codes, &mut latent).expect("codes of the codebooks");
        assert_eq!(latent, [5.0, 2.0]);
        // A prefix is a lower rate, and the choice of so many stages.
        quantizer.dequantize(&codes[..1], &mut latent).expect("a prefix");
        assert_eq!(latent, [4.0, 0.0]);
        let mut candidates = StageCandidates::new(3, 1);
        quantizer.quantize_all_stages(&[4.8, 1.4], &mut candidates);
        assert_eq!((candidates.codes_at(1), candidates.codes_at(3)), (&[1][..], &[1, 1, 1][..]));
        let errors: Vec<f32> = candidates.errors.iter().map(|e| (e * 100.0).round() / 100.0).collect();
        assert_eq!(errors, [25.0, 2.6, 2.0, 0.4]);
    }

    #[test]
    fn a_code_stands_for_several_latents_and_is_chosen_by_its_angle() {
        // Two dimensions seen as they are; entries of different lengths, of which the angle alone counts.
        let entries = vec![3.0, 0.0, 0.0, 0.5];
        let projection = || Projection {
            down: vec![1.0, 0.0, 0.0, 1.0],
            down_bias: vec![0.0; 2],
            up: vec![1.0, 0.0, 0.0, 1.0],
            up_bias: vec![0.25, 0.0],
        };
        let level = |stride| Level {
            part: 0..2,
            stride,
            search: Some(vec![1.0, 0.0, 0.0, 1.0]),
            half_norms: vec![0.5; 2],
            entries: entries.clone(),
            projection: Some(projection()),
        };
        let books = Books { levels: vec![level(2), level(1)], size: 2, dim: 2, per_frame: 2 };
        let (mut quantizer, mut codes, mut latent) = (quantizer(books), [9; 3], [0.0; 4]);
        // [dimension][latent]: the mean is (1, 2), nearer in angle to the second entry, in distance to the first.
        quantizer.quantize(&[0.0, 2.0, 2.0, 2.0], &mut codes, |_, _| {});
        assert_eq!(codes[0], 1);
        // What is left: (-.25, 1.5) and (1.75, 1.5).
        assert_eq!(codes[1..], [1, 0]);
        quantizer.dequantize(&codes[..1], &mut latent).expect("a level");
        assert_eq!(latent, [0.25, 0.25, 0.5, 0.5]);
        quantizer.dequantize(&codes, &mut latent).expect("both levels");
        assert_eq!(latent, [0.5, 3.5, 1.0, 0.5]);
    }

    #[test]
    fn codes_that_are_none_are_named_by_their_place() {
        let (quantizer, mut latent) = (split(), [0.0; 2]);
        let error = |codes: &[u16], latent: &mut [f32]| {
            quantizer.dequantize(codes, latent).map_err(|e| e.to_string()).expect_err("refused")
        };
        assert_eq!(error(&[0, 2, 0], &mut latent), "frame: bad code at code 1: 2, allowed: 0 to 1");
        assert_eq!(
            error(&[0; 4], &mut latent),
            "frame: bad code at code 3: 4 codes, the codec has 3 a frame"
        );
    }
}
