//! What a coded file lacked, in words.

use siskin_core::audio::file::Losses;

/// One line for each kind of loss.
pub(crate) fn describe_losses(losses: &Losses, file: &str, rate: u32, seconds: f64) -> Vec<String> {
    let mut lines = Vec::new();
    if losses.dropped > 0 {
        lines.push(format!(
            "{file}: lost {} packets as asked, {} frames: {} recovered, {} concealed",
            losses.dropped,
            losses.lost_frames,
            losses.recovered_frames,
            losses.lost_frames - losses.recovered_frames
        ));
    }
    if losses.bad_packets > 0 {
        let bridged = losses.concealed_samples as f64 / f64::from(rate);
        lines.push(format!("{file}: {} damaged packets, {bridged:.2} s concealed", losses.bad_packets));
    } else if losses.concealed_samples > 0 && losses.dropped == 0 {
        let bridged = losses.concealed_samples as f64 / f64::from(rate);
        lines.push(format!("{file}: packets are missing, {bridged:.2} s concealed"));
    }
    if losses.jumps > 0 {
        lines.push(format!("{file}: its time stamps jump {} times", losses.jumps));
    }
    if let Some(damage) = &losses.damage {
        lines.push(format!("{file} is damaged after {seconds:.2} s: {damage}"));
    } else if losses.ends_early {
        lines.push(format!("{file} is cut off: {seconds:.2} s could be decoded"));
    }
    lines
}
