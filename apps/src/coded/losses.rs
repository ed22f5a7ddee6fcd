//! What a coded file lacked, as far as decoding it showed.

/// What a file lacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Packets that could not be decoded.
    pub(crate) bad_packets: u64,
    /// Samples that were made up in their place or in place of packets that are missing.
    pub(crate) concealed_samples: u64,
    /// Gaps in the time stamps that were too long to be bridged.
    pub(crate) jumps: u64,
    /// Whether the file ends before its stated length or inside an element.
    pub(crate) ends_early: bool,
    /// Why reading stopped before the end.
    pub(crate) damage: Option<String>,
}

impl Losses {
    /// One line for each kind of loss.
    pub(crate) fn describe(&self, file: &str, rate: u32, seconds: f64) -> Vec<String> {
        let mut lines = Vec::new();
        if self.bad_packets > 0 {
            let bridged = self.concealed_samples as f64 / f64::from(rate);
            lines.push(format!("{file}: {} damaged packets, {bridged:.2} s concealed", self.bad_packets));
        } else if self.concealed_samples > 0 {
            let bridged = self.concealed_samples as f64 / f64::from(rate);
            lines.push(format!("{file}: packets are missing, {bridged:.2} s concealed"));
        }
        if self.jumps > 0 {
            lines.push(format!("{file}: its time stamps jump {} times", self.jumps));
        }
        if let Some(damage) = &self.damage {
            lines.push(format!("{file} is damaged after {seconds:.2} s: {damage}"));
        } else if self.ends_early {
            lines.push(format!("{file} is cut off: {seconds:.2} s could be decoded"));
        }
        lines
    }
}
