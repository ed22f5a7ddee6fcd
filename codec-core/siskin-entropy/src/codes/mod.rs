//! Entropy coding of codes: an integer-exact predictor and a range coder.
//!
//! A bundle may bring [`Tables`]: small networks of integers that give, from what a packet has said so far, a
//! probability to each entry of the next codebook. They are static, and a packet begins from nothing, so a packet that
//! is lost costs only itself. Every step is integer arithmetic without a rounding that a platform could choose, so
//! encoder and decoder agree bit for bit wherever they run; `docs/bitstream.md` gives the arithmetic.
//!
//! The range coder is that of the crate constriction (Bamler, arXiv 2201.01741); only how its last bytes are chosen is
//! ours.

mod bit_cost;
mod coder;
mod distribution;
mod layer;
mod packet_predictor;
mod predictor;
mod tables;
#[cfg(test)]
mod tests;

pub use bit_cost::BitCostEstimator;
pub use coder::Coder;
pub use tables::{BookTables, Tables};
