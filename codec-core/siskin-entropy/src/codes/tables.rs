use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::layer::{LANES, Layer};
use crate::{CodebookShape, Codebooks};

/// The only version of the arithmetic so far.
const VERSION: &str = "1";
/// Largest magnitude of an input.
// With weights of a byte a product takes 21 bits, so 2048 inputs fit a 32-bit sum whatever they are.
pub(super) const INPUT_MAX: i32 = (1 << 13) - 1;
/// Largest activation of a hidden unit.
// Likewise 16,384 units, sixteen times as many as a codebook may have.
pub(super) const HIDDEN_MAX: i32 = (1 << 10) - 1;
/// Most frames before the one being coded that a prediction looks at.
// Both bounds limit what a bundle can make each code cost: inputs grow with the frames, products with the units.
const MAX_FRAMES_BEFORE: usize = 4;
/// Most hidden units of one codebook.
const MAX_HIDDEN: usize = 1024;

/// The integers that predict the codes of one codebook: two layers, the first with as many units as there are rows in
/// `hidden`; without any, the codes have the same probabilities always.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BookTables {
    /// `[unit][input]`.
    pub hidden: Vec<i8>,
    /// `[unit]`, what the sums begin with.
    pub hidden_bias: Vec<i32>,
    /// Right shift of a unit's sum.
    pub hidden_shift: u32,
    /// `[entry][unit]`.
    pub logits: Vec<i8>,
    /// `[entry]`, in 256ths of an octave.
    pub logit_bias: Vec<i16>,
    /// Right shift of an entry's sum.
    pub logit_shift: u32,
}

/// [`BookTables`] as the predictor reads them.
#[derive(Debug, Clone)]
pub(super) struct Book {
    pub(super) hidden: Layer,
    /// In whole blocks of the layer's outputs, filled up with zeros.
    pub(super) hidden_bias: Vec<i32>,
    pub(super) hidden_shift: u32,
    pub(super) logits: Layer,
    /// In whole blocks.
    pub(super) logit_bias: Vec<i32>,
    pub(super) logit_shift: u32,
}

/// The static tables of a bundle, from which the probabilities of codes follow (`docs/bitstream.md`).
#[derive(Debug, Clone)]
pub struct Tables {
    /// Dimension of a latent, and of one group.
    pub(super) dim: usize,
    pub(super) group_dim: usize,
    pub(super) groups: usize,
    pub(super) stages: usize,
    pub(super) size: usize,
    /// Frames before that are inputs, besides the frame itself.
    pub(super) frames_before: usize,
    /// `[stage][group][entry][dim]` of the codebooks, in units of `2^-input_bits`.
    pub(super) entries: Vec<i16>,
    /// `[stage][group]`.
    pub(super) books: Vec<Book>,
}

impl Tables {
    /// Reads the tables file of these codebooks.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(file: &[u8], codebooks: &Codebooks) -> Result<Self, String> {
        let (_, metadata) = SafeTensors::read_metadata(file).map_err(|e| e.to_string())?;
        let facts = metadata.metadata().clone().unwrap_or_default();
        let version = facts.get("version").map_or("none", String::as_str);
        // Before the tensors: another version may have others.
        if version != VERSION {
            return Err(format!("version {version}, this reader knows {VERSION}"));
        }
        let number = |name: &str| -> Result<u32, String> {
            let text = facts.get(name).ok_or_else(|| format!("no {name}"))?;
            text.parse().map_err(|_| format!("{name} {text:?} is no number"))
        };
        let tensors = SafeTensors::deserialize(file).map_err(|e| e.to_string())?;
        let CodebookShape { stages, groups, size, .. } = codebooks.shape();
        let books = (0..stages * groups)
            .map(|index| read_book(&tensors, index, size))
            .collect::<Result<Vec<_>, _>>()?;
        Self::new(codebooks, number("input_bits")?, number("frames_before")? as usize, books)
    }

    /// Puts tables together: `input_bits` fractional bits of the codebooks' entries as the networks see them,
    /// `frames_before` earlier frames as inputs besides the frame itself, and `[stage][group]` networks.
    ///
    /// # Errors
    /// What does not fit the codebooks, or could overflow, in words.
    pub fn new(
        codebooks: &Codebooks,
        input_bits: u32,
        frames_before: usize,
        books: Vec<BookTables>,
    ) -> Result<Self, String> {
        let CodebookShape { stages, groups, size, group_dim } = codebooks.shape();
        let dim = codebooks.latent_dim();
        // Inputs are clamped to 13 bits: with more fractional bits a latent of 1 would already saturate.
        if input_bits > 12 {
            return Err(format!("input_bits {input_bits}, allowed: 0 to 12"));
        }
        if frames_before > MAX_FRAMES_BEFORE {
            return Err(format!("frames_before {frames_before}, allowed: 0 to {MAX_FRAMES_BEFORE}"));
        }
        if books.len() != stages * groups {
            return Err(format!("{} networks, there are {} codebooks", books.len(), stages * groups));
        }
        let inputs = dim * (1 + frames_before);
        let books = books
            .into_iter()
            .enumerate()
            .map(|(index, book)| check_book(book, inputs, size).map_err(|e| format!("codebook {index}: {e}")))
            .collect::<Result<Vec<_>, _>>()?;
        // A product with a power of two is exact, and rounding to an integer is the same everywhere.
        let scale = (1u32 << input_bits) as f32;
        let limit = INPUT_MAX as f32;
        let whole = |x: &f32| (x * scale).round_ties_even().clamp(-limit, limit) as i16;
        let entries = codebooks.entries().iter().map(whole).collect();
        Ok(Self { dim, group_dim, groups, stages, size, frames_before, entries, books })
    }

    /// The entry of a codebook as inputs count it.
    pub(super) fn entry_of(&self, index: usize, entry: usize) -> &[i16] {
        let at = (index * self.size + entry) * self.group_dim;
        &self.entries[at..at + self.group_dim]
    }

    /// Entries of a codebook.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Codebooks a stage.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Residual stages.
    pub fn stages(&self) -> usize {
        self.stages
    }
}

fn read_book(tensors: &SafeTensors<'_>, index: usize, size: usize) -> Result<BookTables, String> {
    let take = |name: &str, dtype: Dtype, bytes: usize| -> Result<TensorView<'_>, String> {
        let name = format!("{name}.{index}");
        let view = tensors.tensor(&name).map_err(|e| format!("{name}: {e}"))?;
        if view.dtype() != dtype || view.data().len() % bytes != 0 {
            return Err(format!("{name} is {:?}, allowed: {dtype:?}", view.dtype()));
        }
        Ok(view)
    };
    let bytes = |view: TensorView<'_>| -> Vec<i8> { view.data().iter().map(|&b| b as i8).collect() };
    let wide = |view: TensorView<'_>| -> Vec<i32> {
        view.data().chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let shifts = wide(take("shifts", Dtype::I32, 4)?);
    let [hidden_shift, logit_shift] = shifts[..] else {
        return Err(format!("shifts.{index} holds {} numbers, allowed: 2", shifts.len()));
    };
    // A negative shift in the file is refused, not taken for a huge one.
    let shift = |value: i32| u32::try_from(value).map_err(|_| format!("shifts.{index} holds {value}"));
    let bias = take("logit_bias", Dtype::I16, 2)?;
    let book = BookTables {
        hidden: bytes(take("hidden", Dtype::I8, 1)?),
        hidden_bias: wide(take("hidden_bias", Dtype::I32, 4)?),
        hidden_shift: shift(hidden_shift)?,
        logits: bytes(take("logits", Dtype::I8, 1)?),
        logit_bias: bias.data().chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect(),
        logit_shift: shift(logit_shift)?,
    };
    if book.logit_bias.len() != size {
        return Err(format!(
            "logit_bias.{index} holds {} entries, the codebook {size}",
            book.logit_bias.len()
        ));
    }
    Ok(book)
}

/// Checks that sizes fit, and that no sum of any inputs can leave 32 bits.
fn check_book(book: BookTables, inputs: usize, size: usize) -> Result<Book, String> {
    let units = book.hidden_bias.len();
    let is = |found: usize, wanted: usize, what: &str| {
        if found == wanted { Ok(()) } else { Err(format!("{what} holds {found} numbers, {wanted} needed")) }
    };
    if units > MAX_HIDDEN {
        return Err(format!("{units} hidden units, allowed: up to {MAX_HIDDEN}"));
    }
    is(book.hidden.len(), units * inputs, "hidden")?;
    is(book.logits.len(), units * size, "logits")?;
    is(book.logit_bias.len(), size, "logit_bias")?;
    // Sums have 31 bits, of which a larger shift would leave hardly any; one of 32 has no meaning.
    if book.hidden_shift > 24 || book.logit_shift > 24 {
        return Err(format!("shifts {} and {}, allowed: 0 to 24", book.hidden_shift, book.logit_shift));
    }
    let fits = |row: &[i8], most: i32, bias: i64| {
        // The worst inputs for this row: all at the bound, with the signs of the weights.
        let sum: i64 = row.iter().map(|&w| i64::from(w).abs() * i64::from(most)).sum();
        sum + bias.abs() <= i64::from(i32::MAX)
    };
    if !book.hidden.chunks(inputs).zip(&book.hidden_bias).all(|(row, &b)| fits(row, INPUT_MAX, b.into())) {
        return Err("hidden could overflow".into());
    }
    if units > 0 && !book.logits.chunks(units).all(|row| fits(row, HIDDEN_MAX, 0)) {
        return Err("logits could overflow".into());
    }
    let hidden = Layer::new(&book.hidden, inputs);
    let mut hidden_bias = book.hidden_bias;
    hidden_bias.resize(hidden.padded_outputs(), 0);
    let mut logit_bias: Vec<i32> = book.logit_bias.into_iter().map(i32::from).collect();
    logit_bias.resize(size.next_multiple_of(LANES), 0);
    Ok(Book {
        hidden,
        hidden_bias,
        hidden_shift: book.hidden_shift,
        logits: Layer::new(&book.logits, units),
        logit_bias,
        logit_shift: book.logit_shift,
    })
}
