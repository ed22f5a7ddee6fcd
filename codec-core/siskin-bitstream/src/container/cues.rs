use std::cmp::Reverse;

use super::ebml::{child_elements, read_unsigned};
use super::id;

/// The index of a file: clusters by the time of a block in them.
///
/// It may be missing, as in live recordings, and it may be wrong: where it leads is checked, and blocks tell their own time.
#[derive(Debug, Default)]
pub(super) enum Cues {
    /// There is none, or it is of no use.
    #[default]
    None,
    /// Where it lies, from the first byte inside the segment.
    At(u64),
    /// In no order.
    Read(Vec<Point>),
}

/// Where a block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    ticks: u64,
    track: u64,
    /// Its cluster, from the first byte inside the segment.
    cluster: u64,
}

impl Cues {
    /// Reads the body of the element.
    pub(super) fn read(body: &[u8]) -> Self {
        let points = child_elements(body).filter(|(id, _)| *id == id::CUE_POINT);
        let points: Vec<Point> = points.flat_map(|(_, point)| read_points(point)).collect();
        if points.is_empty() { Self::None } else { Self::Read(points) }
    }

    /// The last cluster that has a block at or before a time, of a track if one is given.
    pub(super) fn find_cluster(&self, ticks: u64, track: Option<u64>) -> Option<u64> {
        let Self::Read(points) = self else { return None };
        let before = points.iter().filter(|point| point.ticks <= ticks);
        let of_track = before.filter(|point| track.is_none_or(|track| point.track == track));
        // Of blocks of one time the earliest cluster, where tracks lie in different ones.
        of_track.max_by_key(|point| (point.ticks, Reverse(point.cluster))).map(|point| point.cluster)
    }
}

fn read_points(point: &[u8]) -> impl Iterator<Item = Point> {
    let child = |of, wanted| child_elements(of).find(|(id, _)| *id == wanted).map(|(_, body)| body);
    let ticks = child(point, id::CUE_TIME).map(read_unsigned);
    let tracks = child_elements(point).filter(|(id, _)| *id == id::CUE_TRACK_POSITIONS);
    tracks.filter_map(move |(_, track)| {
        let cluster = read_unsigned(child(track, id::CUE_CLUSTER_POSITION)?);
        let track = child(track, id::CUE_TRACK).map_or(0, read_unsigned);
        Some(Point { ticks: ticks?, track, cluster })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::ebml::{put_element, put_unsigned};

    #[test]
    fn blocks_of_other_tracks_lead_nowhere() {
        let mut body = Vec::new();
        // A keyframe of track 1 in the first cluster, and sound of track 2 in that and two more.
        for (ticks, places) in [
            (0, &[(1, 10), (2, 10)][..]),
            (2000, &[(2, 30)]),
            (1000, &[(2, 20)]),
            (3000, &[(1, 50), (2, 40)]),
        ] {
            let mut point = Vec::new();
            put_unsigned(id::CUE_TIME, ticks, &mut point);
            for &(track, cluster) in places {
                let mut position = Vec::new();
                put_unsigned(id::CUE_TRACK, track, &mut position);
                put_unsigned(id::CUE_CLUSTER_POSITION, cluster, &mut position);
                put_element(id::CUE_TRACK_POSITIONS, &position, &mut point);
            }
            put_element(id::CUE_POINT, &point, &mut body);
        }
        let cues = Cues::read(&body);
        for (ticks, track, expected) in [
            (2500, Some(1), Some(10)),
            (2500, Some(2), Some(30)),
            (2500, None, Some(30)),
            (3000, Some(1), Some(50)),
            (3000, None, Some(40)),
            (3000, Some(3), None),
        ] {
            assert_eq!(cues.find_cluster(ticks, track), expected, "{ticks} of {track:?}");
        }
    }
}
