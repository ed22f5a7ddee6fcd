use siskin_error::{Error, Result};

use crate::tokens::stream::{StreamSnapshot, TokenStream};

/// Many streams on one network: a server's slots, each with its own state and its own reset.
///
/// Selecting a slot swaps its state in: a copy of a few hundred kilobytes, small beside the network's run and without an
/// allocation. To use several cores, use several of these.
pub struct Slots {
    stream: TokenStream,
    states: Vec<StreamSnapshot>,
    active: usize,
    pcm: Vec<f32>,
}

impl Slots {
    /// `count` slots (1 to 4096), all at the start of a stream like `stream`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for another count.
    pub fn new(mut stream: TokenStream, count: usize) -> Result<Self> {
        if !(1..=4096).contains(&count) {
            return Err(Error::parameter("slots", count, "1 to 4096"));
        }
        // Every slot is a copy of this state, so it must be that of a new stream.
        stream.reset();
        let fresh = || {
            let mut snapshot = StreamSnapshot::default();
            stream.save_state(&mut snapshot);
            snapshot
        };
        // Buffers are allocated here once and only copied into later.
        let states = (0..count).map(|_| fresh()).collect();
        Ok(Self { stream, states, active: 0, pcm: Vec::new() })
    }

    /// Number of slots.
    pub fn slot_count(&self) -> usize {
        self.states.len()
    }

    /// Swaps in a slot and returns its stream.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a slot beyond the last.
    pub fn select_slot(&mut self, slot: usize) -> Result<&mut TokenStream> {
        if slot >= self.states.len() {
            return Err(Error::parameter("slot", slot, format!("0 to {}", self.states.len() - 1)));
        }
        if slot != self.active {
            self.stream.save_state(&mut self.states[self.active]);
            self.stream.restore_state(&self.states[slot])?;
            self.active = slot;
        }
        Ok(&mut self.stream)
    }

    /// Decodes the next tokens of some slots, `(slot, tokens)`, and passes each slot's samples to `emit`. Refused tokens of a
    /// slot do not affect the others: `emit` gets the samples of the frames before them, if there are any, and then their error.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a slot beyond the last; the ones before it in `input` have been decoded.
    pub fn push_tokens(
        &mut self,
        input: &[(usize, &[i64])],
        emit: &mut impl FnMut(usize, Result<&[f32]>),
    ) -> Result<()> {
        // Taken out, so that `emit` may borrow it while the slots change.
        let mut pcm = std::mem::take(&mut self.pcm);
        let result = input.iter().try_for_each(|&(slot, tokens)| {
            pcm.clear();
            let pushed = self.select_slot(slot)?.push_tokens(tokens, &mut pcm);
            // What was ready before the refused token is not lost with it.
            if pushed.is_err() && !pcm.is_empty() {
                emit(slot, Ok(&pcm));
            }
            emit(slot, pushed.map(|_| pcm.as_slice()));
            Ok(())
        });
        self.pcm = pcm;
        result
    }
}
