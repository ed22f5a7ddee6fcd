//! How far one recording is from another.

mod mel;
mod ms_ssim;
mod sdr;
mod spectrum;
mod stoi;

pub(crate) use mel::mel_distance;
pub(crate) use ms_ssim::ms_ssim;
pub(crate) use sdr::si_sdr;
pub(crate) use stoi::{STOI_RATE, stoi};
