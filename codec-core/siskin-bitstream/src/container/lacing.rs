//! Several packets in one block (RFC 9559, section 10.3). Of the three ways only EBML's is written; others who remux our files use
//! all.

use super::ebml::{put_size, read_size};

/// A block's flags for packets that [`join`] has put together.
pub(super) const EBML_FLAGS: u8 = 0x06;

/// How the sizes of a block's packets are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lacing {
    Xiph,
    Fixed,
    Ebml,
}

impl Lacing {
    /// What a block's flags say; none for one packet.
    pub(super) fn from_flags(flags: u8) -> Option<Self> {
        // Bits 5 and 6 of the flags counted from the highest (RFC 9559, sections 10.1 and 10.2).
        match flags & 0x06 {
            0x02 => Some(Self::Xiph),
            0x04 => Some(Self::Fixed),
            0x06 => Some(Self::Ebml),
            _ => None,
        }
    }

    /// The packets of a block's body, one to 256; none if the sizes do not fit.
    pub(super) fn split_packets(self, body: &[u8]) -> Option<Vec<&[u8]>> {
        let (&count, mut rest) = body.split_first()?;
        // Stored less one.
        let count = usize::from(count) + 1;
        let sizes = match self {
            // The last packet has no size in any lacing: it is what is left.
            Self::Fixed if rest.len().is_multiple_of(count) => vec![rest.len() / count; count - 1],
            Self::Fixed => return None,
            Self::Xiph => xiph_sizes(&mut rest, count - 1)?,
            Self::Ebml => ebml_sizes(&mut rest, count - 1)?,
        };
        let mut packets = Vec::with_capacity(count);
        for size in sizes {
            let (packet, after) = rest.split_at_checked(size)?;
            packets.push(packet);
            rest = after;
        }
        packets.push(rest);
        Some(packets)
    }
}

/// The body of a block of 2 to 256 packets: their number, sizes as EBML's lacing has them, and the packets.
pub(super) fn join(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![(packets.len() - 1) as u8];
    put_size(packets[0].len() as u64, &mut out);
    for pair in packets[..packets.len() - 1].windows(2) {
        put_difference(pair[1].len() as i64 - pair[0].len() as i64, &mut out);
    }
    packets.iter().for_each(|packet| out.extend_from_slice(packet));
    out
}

/// Appends the difference of two sizes in as few bytes as it takes.
fn put_difference(value: i64, out: &mut Vec<u8>) {
    let half = |bytes: u32| (1i64 << (7 * bytes - 1)) - 1;
    let bytes = (1..8).find(|&n| value.abs() <= half(n)).unwrap_or(8);
    let marked = (value + half(bytes)) as u64 | 1 << (7 * bytes);
    out.extend_from_slice(&marked.to_be_bytes()[8 - bytes as usize..]);
}

/// Sizes as sums of bytes, of which the last is not 255.
fn xiph_sizes(rest: &mut &[u8], count: usize) -> Option<Vec<usize>> {
    let mut sizes = Vec::with_capacity(count);
    for _ in 0..count {
        let mut size = 0;
        loop {
            let (&byte, after) = rest.split_first()?;
            *rest = after;
            // Cannot overflow: each byte of the size is a byte of the block.
            size += usize::from(byte);
            if byte != 255 {
                break;
            }
        }
        sizes.push(size);
    }
    Some(sizes)
}

/// The first size, then differences.
fn ebml_sizes(rest: &mut &[u8], count: usize) -> Option<Vec<usize>> {
    let mut sizes: Vec<usize> = Vec::with_capacity(count);
    for _ in 0..count {
        let (value, bytes) = read_size(rest)?;
        let size = match sizes.last() {
            None => i64::try_from(value).ok()?,
            // A difference is written with half its range added.
            Some(&before) => {
                i64::try_from(before).ok()? + i64::try_from(value).ok()? - ((1 << (7 * bytes - 1)) - 1)
            }
        };
        // A negative size is damage.
        sizes.push(usize::try_from(size).ok()?);
    }
    Some(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKETS: [&[u8]; 3] = [&[1; 300], &[2; 10], &[3; 500]];

    fn body(head: &[u8]) -> Vec<u8> {
        [&[2], head, &PACKETS.concat()].concat()
    }

    #[test]
    fn packets_come_apart() {
        assert_eq!(Lacing::Xiph.split_packets(&body(&[255, 45, 10])).as_deref(), Some(&PACKETS[..]));
        // 300 in two bytes, then -290 in two bytes: its offset is 8191.
        let difference = 0x4000u16 | (8191 - 290);
        let head = [&[0x41, 0x2c][..], &difference.to_be_bytes()].concat();
        assert_eq!(Lacing::Ebml.split_packets(&body(&head)).as_deref(), Some(&PACKETS[..]));
        assert_eq!(Lacing::Fixed.split_packets(&[1, 7, 7, 8, 8]), Some(vec![&[7, 7][..], &[8, 8]]));
        assert_eq!(Lacing::from_flags(0x80), None);
    }

    #[test]
    fn what_is_joined_comes_apart() {
        for sizes in
            [&[1usize, 1][..], &[88, 90, 87, 300, 5, 70_000, 0, 20_000], &[200; 256], &[63, 0, 126, 64, 0]]
        {
            let packets: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(i, &n)| vec![i as u8; n]).collect();
            assert_eq!(
                Lacing::from_flags(EBML_FLAGS)
                    .and_then(|l| l.split_packets(&join(&packets)).map(|p| p.concat())),
                Some(packets.concat())
            );
            let split = join(&packets);
            let split: Vec<usize> =
                Lacing::Ebml.split_packets(&split).expect("sizes").iter().map(|p| p.len()).collect();
            assert_eq!(split, sizes);
        }
        // Up to 63 more or fewer bytes cost one.
        assert_eq!(join(&[vec![1; 100], vec![2; 163], vec![3; 100]]).len(), 1 + 1 + 1 + 363);
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        assert_eq!(Lacing::Fixed.split_packets(&[1, 7, 7, 8]), None);
        assert_eq!(Lacing::Xiph.split_packets(&[1, 200, 1]), None);
        assert_eq!(Lacing::Ebml.split_packets(&[2, 0x81, 0x80, 1, 1]), None, "less than nothing");
        for kind in [Lacing::Xiph, Lacing::Fixed, Lacing::Ebml] {
            for a in 0..=255u8 {
                for b in 0..=255u8 {
                    kind.split_packets(&[a, b, 255, 9, 9]);
                    kind.split_packets(&[a, b][..usize::from(a % 3)]);
                }
            }
        }
    }
}
