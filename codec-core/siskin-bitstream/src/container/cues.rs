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
    /// Ticks, and where the cluster lies, from the first byte inside the segment; in the order of time.
    Read(Vec<(u64, u64)>),
}

impl Cues {
    /// Reads the body of the element.
    pub(super) fn read(body: &[u8]) -> Self {
        let points = child_elements(body).filter(|(id, _)| *id == id::CUE_POINT);
        let mut points: Vec<_> = points.filter_map(|(_, point)| read_point(point)).collect();
        points.sort_unstable();
        if points.is_empty() { Self::None } else { Self::Read(points) }
    }

    /// The last cluster that has a block at or before a time.
    pub(super) fn find_cluster(&self, ticks: u64) -> Option<u64> {
        let Self::Read(points) = self else { return None };
        let count = points.partition_point(|point| point.0 <= ticks);
        points[..count].last().map(|point| point.1)
    }
}

fn read_point(point: &[u8]) -> Option<(u64, u64)> {
    let child = |of, wanted| child_elements(of).find(|(id, _)| *id == wanted).map(|(_, body)| body);
    let time = read_unsigned(child(point, id::CUE_TIME)?);
    let tracks = child_elements(point).filter(|(id, _)| *id == id::CUE_TRACK_POSITIONS);
    // The earliest, where tracks lie in different clusters.
    let cluster =
        tracks.filter_map(|(_, track)| child(track, id::CUE_CLUSTER_POSITION)).map(read_unsigned).min();
    Some((time, cluster?))
}
