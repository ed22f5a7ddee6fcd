use super::stream::{StreamSnapshot, TokenStream};
use crate::{Error, Result};

/// Many streams on one network: a server's slots, each with its own state and its own reset.
///
/// A slot's state is swapped in when it is its turn, which is a copy of some hundred kilobytes beside the network's
/// run and allocates nothing. To use several cores, use several of these.
pub struct Slots {
    stream: TokenStream,
    kept: Vec<StreamSnapshot>,
    active: usize,
    pcm: Vec<f32>,
}

impl Slots {
    /// Makes `count` slots (1 to 4096) that are all at the start of a stream like `stream`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for another count.
    pub fn new(mut stream: TokenStream, count: usize) -> Result<Self> {
        if !(1..=4096).contains(&count) {
            return Err(Error::parameter("slots", count, "1 to 4096"));
        }
        stream.reset();
        let fresh = || {
            let mut snapshot = StreamSnapshot::default();
            stream.snapshot(&mut snapshot);
            snapshot
        };
        let kept = (0..count).map(|_| fresh()).collect();
        Ok(Self { stream, kept, active: 0, pcm: Vec::new() })
    }

    /// How many slots there are.
    pub fn count(&self) -> usize {
        self.kept.len()
    }

    /// The stream of a slot, to be used before the next call.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a slot that is not there.
    pub fn slot(&mut self, slot: usize) -> Result<&mut TokenStream> {
        if slot >= self.kept.len() {
            return Err(Error::parameter("slot", slot, format!("0 to {}", self.kept.len() - 1)));
        }
        if slot != self.active {
            self.stream.snapshot(&mut self.kept[self.active]);
            self.stream.restore(&self.kept[slot])?;
            self.active = slot;
        }
        Ok(&mut self.stream)
    }

    /// Takes the next tokens of some slots, `(slot, tokens)`, and gives each slot's samples to `give`. A slot whose
    /// tokens are refused does not hold up the others: its error comes to `give` in place of samples.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a slot that is not there, before that slot and those after it are looked at.
    pub fn step(
        &mut self,
        input: &[(usize, &[i64])],
        give: &mut impl FnMut(usize, Result<&[f32]>),
    ) -> Result<()> {
        let mut pcm = std::mem::take(&mut self.pcm);
        let stepped = input.iter().try_for_each(|&(slot, tokens)| {
            pcm.clear();
            let pushed = self.slot(slot)?.push(tokens, &mut pcm);
            give(slot, pushed.map(|_| pcm.as_slice()));
            Ok(())
        });
        self.pcm = pcm;
        stepped
    }
}
