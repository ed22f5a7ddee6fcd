//! Numbers as people type and read them.

/// Parses a rate such as `6000`, `6k`, `1.5k` or `2M`, in bits a second.
pub(crate) fn parse_bitrate(text: &str) -> Result<u32, String> {
    let (digits, scale) = match (text.strip_suffix(['k', 'K']), text.strip_suffix('M')) {
        (Some(digits), _) => (digits, 1e3),
        (None, Some(digits)) => (digits, 1e6),
        (None, None) => (text, 1.0),
    };
    let value: f64 = digits.parse().map_err(|_| format!("{text:?} is not a rate such as 6000 or 6k"))?;
    let bits = value * scale;
    // NaN is in no range.
    if !(1.0..=1e9).contains(&bits) {
        return Err(format!("{text} is not a rate, allowed: 1 to 1000000k"));
    }
    Ok(bits.round() as u32)
}

/// Channels as `mono`, `stereo` or their number.
pub(crate) fn format_channels(channels: u8) -> String {
    match channels {
        1 => "mono".into(),
        2 => "stereo".into(),
        other => format!("{other} channels"),
    }
}

/// Seconds as `1:02:03.45`, without leading zero fields.
pub(crate) fn format_time(seconds: f64) -> String {
    // Rounded once, before it is taken apart: 59.999 s is 1:00.00 and not 0:60.00.
    let hundredths = (seconds.max(0.0) * 100.0).round() as u64;
    let (minutes, rest) = (hundredths / 6000, hundredths % 6000);
    let (s, h) = (rest / 100, rest % 100);
    if minutes >= 60 {
        format!("{}:{:02}:{s:02}.{h:02}", minutes / 60, minutes % 60)
    } else {
        format!("{minutes}:{s:02}.{h:02}")
    }
}

/// Bytes as `1.2 kB` or `3.4 MB`.
pub(crate) fn format_size(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// A number of things, as `1 file` or `3 files`.
pub(crate) fn format_count(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Bits a second as `6.02 kb/s`.
pub(crate) fn format_bitrate(bits_per_second: f64) -> String {
    format!("{:.2} kb/s", bits_per_second / 1000.0)
}

/// Bits per second of so many bytes in so many seconds.
pub(crate) fn rate_of(bytes: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { bytes as f64 * 8.0 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitrates_with_and_without_k() {
        assert_eq!(parse_bitrate("6k"), Ok(6000));
        assert_eq!(parse_bitrate("1.5K"), Ok(1500));
        assert_eq!(parse_bitrate("9000"), Ok(9000));
        assert_eq!(parse_bitrate("2.5M"), Ok(2_500_000));
        for bad in ["", "k", "6kb", "-3k", "0", "nan", "inf", "1e12"] {
            assert!(parse_bitrate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn clocks_and_sizes() {
        assert_eq!(format_time(3.456), "0:03.46");
        assert_eq!(format_time(3723.999), "1:02:04.00");
        assert_eq!(format_time(-1.0), "0:00.00");
        assert_eq!(format_size(999), "999 B");
        assert_eq!(format_size(7_530_000), "7.5 MB");
        assert_eq!(format_bitrate(6023.0), "6.02 kb/s");
        assert_eq!(rate_of(750, 1.0), 6000.0);
        assert_eq!(rate_of(750, 0.0), 0.0);
    }
}
