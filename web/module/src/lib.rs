//! The decoders and the audio encoder as one WebAssembly module without imports: Matroska, range coding, network (on rten),
//! block codec, tokens: the code of the program itself. `web/player/siskin.js` is its other half.
//!
//! - [`exports`]: the functions that JavaScript calls;
//! - `state`: the bundle, files and decoders behind them;
//! - `store`: a file that is still arriving;
//! - `video`: its frames, `group`: those of a packet;
//! - `recorder`: a file that is being made.
//!
//! Numbers go through arguments and results, everything else through buffers of the module whose addresses JavaScript
//! asks for: it fills the input before a call, and reads samples and text after one, before the next.

pub mod exports;
mod group;
mod recorder;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod video;
