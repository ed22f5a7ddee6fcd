//! Calls: two people, two sound cards, RTP in between.
//!
//! A call goes past GStreamer. What costs time in one is waiting: for a frame to fill, for the slowest packets, for the
//! device. Here one thread receives, orders, decodes and refills the device's ring at the last moment that it may, so
//! nothing waits twice; a pipeline's jitter buffer, decoder queue and sink each keep a reserve of their own. The payload is
//! that of `rtpsiskinaudiopay`, so a pipeline can be at the other end.
//!
//! ```text
//! callback -> ring -> Sender: rate, encode, RTP -> socket
//! socket -> Receiver: JitterBuffer, decode, rate -> ring -> callback
//! ```

mod ends;
mod jitter;
mod link;
mod place;
mod port;
mod rate;
mod receiver;
mod reception;
mod sender;
mod session;
mod shared;
mod wire;

pub(crate) use session::{Call, CallOptions, Figures, Where};
