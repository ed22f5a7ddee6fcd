//! From a map of probabilities to boxes, as DB's text detection does it (Liao et al., arXiv 1911.08947): connected areas above
//! a threshold, the smallest rectangle around each, and back to the size of the object, of which the area is the shrunk middle.

use std::collections::BTreeMap;

use serde::Serialize;
use siskin_media::Size;

/// Least mean probability of an area.
// This and the next two are the values of PP-OCR's own postprocessing.
const MIN_SCORE: f32 = 0.5;
/// Pixels of the shorter side that an area must have.
const MIN_SIDE: f32 = 3.0;
/// By how much an area grows: this times its area over its perimeter, on each side.
const GROWTH: f32 = 1.6;
/// Most objects of a frame.
// Noise above the threshold could make one of every second pixel.
const MAX_OBJECTS: usize = 1000;

/// What a head says of a frame.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Map {
    /// Values per row.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
    /// Pixels of the frame per value, in each direction.
    pub stride: usize,
    /// Probabilities, row by row.
    pub values: Vec<f32>,
}

/// An object that was found in a frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundObject {
    /// The corners `[x, y]` in pixels of the frame, in one direction round; within the frame.
    pub corners: [[f32; 2]; 4],
    /// Mean probability, 0 to 1.
    pub score: f32,
    /// What the other heads say of it: the mean of each one's map over the object's middle, by the head's name.
    pub properties: BTreeMap<String, f32>,
    /// The corners before they grew.
    #[serde(skip)]
    pub(crate) middle: [[f32; 2]; 4],
}

/// A rectangle that may be turned: center, direction of the first side, half of both sides.
#[derive(Debug, Clone, Copy)]
struct Turned {
    center: [f32; 2],
    axis: [f32; 2],
    half: [f32; 2],
}

/// Finds the objects of a map from a probability of `threshold` on, in a frame of this size: top to bottom, at most 1,000.
///
/// ```
/// use siskin_features::{Map, find_boxes};
/// use siskin_media::Size;
///
/// // A line of 20 by 4 pixels at (6, 8).
/// let values = (0..16 * 32).map(|i| if (8..12).contains(&(i / 32)) && (6..26).contains(&(i % 32)) { 0.9 } else { 0.0 });
/// let map = Map { columns: 32, rows: 16, stride: 1, values: values.collect() };
/// let found = find_boxes(&map, 0.3, Size::new(32, 16)?);
/// // 80 pixels around which there are 48: it grows by 2.67 on each side.
/// assert_eq!(found.len(), 1);
/// assert!((found[0].corners[0][0] - 3.33).abs() < 0.01 && (found[0].corners[0][1] - 5.33).abs() < 0.01);
/// # Ok::<(), siskin_features::Error>(())
/// ```
pub fn find_boxes(map: &Map, threshold: f32, size: Size) -> Vec<FoundObject> {
    let mut seen = vec![false; map.values.len()];
    let (mut found, mut area) = (Vec::new(), Vec::new());
    for start in 0..map.values.len() {
        if seen[start] || map.values[start] < threshold {
            continue;
        }
        if found.len() == MAX_OBJECTS {
            break;
        }
        collect_area(map, threshold, start, &mut seen, &mut area);
        let score = area.iter().map(|&i| map.values[i]).sum::<f32>() / area.len() as f32;
        let Some(rectangle) = smallest_rectangle(&hull_of(&area, map.columns)) else { continue };
        let [a, b] = rectangle.half.map(|h| 2.0 * h);
        if score < MIN_SCORE || a.min(b) * (map.stride as f32) < MIN_SIDE {
            continue;
        }
        let growth = a * b * GROWTH / (2.0 * (a + b));
        let half = rectangle.half.map(|h| h + growth);
        let place = |rectangle: Turned| rectangle.corners(map.stride as f32, size);
        let (corners, middle) = (place(Turned { half, ..rectangle }), place(rectangle));
        found.push(FoundObject { corners, score, properties: BTreeMap::new(), middle });
    }
    found
}

/// The mean of a map over a box; of a box between the map's values, the one that its center is in.
pub(crate) fn mean_in_box(map: &Map, corners: &[[f32; 2]; 4]) -> f32 {
    let scale = 1.0 / map.stride.max(1) as f32;
    let place = corners.map(|c| c.map(|v| v * scale));
    let range = |axis: usize, most: usize| {
        let values = place.map(|c| c[axis]);
        let low = values.iter().copied().fold(f32::MAX, f32::min).max(0.0) as usize;
        let high = values.iter().copied().fold(0.0, f32::max).ceil() as usize;
        low..high.min(most)
    };
    let (mut sum, mut count) = (0.0, 0u32);
    for y in range(1, map.rows) {
        for x in range(0, map.columns) {
            if is_inside(&place, [x as f32 + 0.5, y as f32 + 0.5]) {
                sum += map.values[y * map.columns + x];
                count += 1;
            }
        }
    }
    if count > 0 {
        return sum / count as f32;
    }
    let center = [0, 1].map(|axis| (place[0][axis] + place[2][axis]) / 2.0);
    let [x, y] = center.map(|v| v.max(0.0) as usize);
    let index = y.min(map.rows.saturating_sub(1)) * map.columns + x.min(map.columns.saturating_sub(1));
    map.values.get(index).copied().unwrap_or_default()
}

/// Whether a point lies in a convex quadrilateral: on one side of all its edges.
fn is_inside(corners: &[[f32; 2]; 4], point: [f32; 2]) -> bool {
    let sides = [0, 1, 2, 3].map(|i| cross(corners[i], corners[(i + 1) % 4], point));
    sides.iter().all(|&s| s >= 0.0) || sides.iter().all(|&s| s <= 0.0)
}

/// Twice the area of a triangle, with the sign of its direction.
fn cross(a: [f32; 2], b: [f32; 2], c: [f32; 2]) -> f32 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

/// The indices of all values that are connected with `start`, diagonally too.
fn collect_area(map: &Map, threshold: f32, start: usize, seen: &mut [bool], area: &mut Vec<usize>) {
    area.clear();
    area.push(start);
    seen[start] = true;
    let mut next = 0;
    // The list is the queue as well: no recursion, so that no map can exhaust the stack.
    while let Some(&index) = area.get(next) {
        next += 1;
        let (x, y) = (index % map.columns, index / map.columns);
        for y in y.saturating_sub(1)..(y + 2).min(map.rows) {
            for x in x.saturating_sub(1)..(x + 2).min(map.columns) {
                let near = y * map.columns + x;
                if !seen[near] && map.values[near] >= threshold {
                    seen[near] = true;
                    area.push(near);
                }
            }
        }
    }
}

/// The convex hull of the pixels of an area, by their outer corners.
fn hull_of(area: &[usize], columns: usize) -> Vec<[f32; 2]> {
    // The ends of each row are all that can lie on the hull.
    let mut rows: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for &index in area {
        let (x, y) = (index % columns, index / columns);
        let ends = rows.entry(y).or_insert((x, x));
        *ends = (ends.0.min(x), ends.1.max(x));
    }
    let ends = rows.iter().flat_map(|(&y, &(low, high))| {
        let (y, low, high) = (y as f32, low as f32, high as f32 + 1.0);
        [[low, y], [high, y], [low, y + 1.0], [high, y + 1.0]]
    });
    let mut points: Vec<[f32; 2]> = ends.collect();
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    points.dedup();
    // Andrew's monotone chain: the lower side, then the upper one.
    let half = |points: &mut dyn Iterator<Item = &[f32; 2]>| {
        let mut chain: Vec<[f32; 2]> = Vec::new();
        for &point in points {
            while let [.., a, b] = chain[..] {
                if cross(a, b, point) > 0.0 {
                    break;
                }
                chain.pop();
            }
            chain.push(point);
        }
        chain.pop();
        chain
    };
    let mut hull = half(&mut points.iter());
    hull.extend(half(&mut points.iter().rev()));
    hull
}

/// The rectangle of the least area around a hull: one of its sides lies on an edge of the hull.
fn smallest_rectangle(hull: &[[f32; 2]]) -> Option<Turned> {
    let mut best: Option<(f32, Turned)> = None;
    for (i, a) in hull.iter().enumerate() {
        let b = hull[(i + 1) % hull.len()];
        let length = (b[0] - a[0]).hypot(b[1] - a[1]);
        if length == 0.0 {
            continue;
        }
        let axis = [(b[0] - a[0]) / length, (b[1] - a[1]) / length];
        let along = |p: &[f32; 2]| p[0] * axis[0] + p[1] * axis[1];
        let across = |p: &[f32; 2]| p[1] * axis[0] - p[0] * axis[1];
        let ends = |values: &dyn Fn(&[f32; 2]) -> f32| {
            hull.iter().map(values).fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(v), h.max(v)))
        };
        let ((u0, u1), (v0, v1)) = (ends(&along), ends(&across));
        let area = (u1 - u0) * (v1 - v0);
        if best.is_none_or(|(least, _)| area < least) {
            let (u, v) = ((u0 + u1) / 2.0, (v0 + v1) / 2.0);
            let center = [u * axis[0] - v * axis[1], u * axis[1] + v * axis[0]];
            best = Some((area, Turned { center, axis, half: [(u1 - u0) / 2.0, (v1 - v0) / 2.0] }));
        }
    }
    best.map(|(_, rectangle)| rectangle)
}

impl Turned {
    /// The corners in pixels, kept within a frame.
    fn corners(&self, stride: f32, size: Size) -> [[f32; 2]; 4] {
        let ([x, y], [dx, dy], [u, v]) = (self.center, self.axis, self.half);
        let (width, height) = (size.width() as f32, size.height() as f32);
        [(-u, -v), (u, -v), (u, v), (-u, v)].map(|(a, b)| {
            let corner = [x + a * dx - b * dy, y + a * dy + b * dx];
            [(corner[0] * stride).clamp(0.0, width), (corner[1] * stride).clamp(0.0, height)]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map_of(columns: usize, rows: usize, value: impl Fn(usize, usize) -> f32) -> Map {
        let values = (0..columns * rows).map(|i| value(i % columns, i / columns)).collect();
        Map { columns, rows, stride: 1, values }
    }

    fn size(map: &Map) -> Size {
        Size::new(map.columns as u32, map.rows as u32).expect("a size")
    }

    #[test]
    fn a_turned_line_gives_a_turned_box() {
        // A strip of 60 by 8 pixels at 30 degrees around (60, 50).
        let (sin, cos) = 30f32.to_radians().sin_cos();
        let map = map_of(128, 100, |x, y| {
            let (x, y) = (x as f32 + 0.5 - 60.0, y as f32 + 0.5 - 50.0);
            let (u, v) = (x * cos + y * sin, y * cos - x * sin);
            if u.abs() < 30.0 && v.abs() < 4.0 { 0.8 } else { 0.1 }
        });
        let found = find_boxes(&map, 0.3, size(&map));
        assert_eq!(found.len(), 1);
        let c = found[0].corners;
        let side = |i: usize| (c[i][0] - c[(i + 1) % 4][0]).hypot(c[i][1] - c[(i + 1) % 4][1]);
        // 480 pixels over 136 times 1.6: 5.6 on each side. The outer corners of a raster of 30 degrees reach 1.4 further, which
        // grows as well.
        let (mut long, mut short) = (side(0), side(1));
        if long < short {
            (long, short) = (short, long);
        }
        assert!((long - 72.8).abs() < 2.0 && (short - 20.8).abs() < 2.0, "{long} by {short}");
        assert!((found[0].score - 0.8).abs() < 1e-4);
        // The box holds the line and little else.
        assert!(mean_in_box(&map, &c) > 0.3 && is_inside(&c, [60.0, 50.0]) && !is_inside(&c, [60.0, 80.0]));
    }

    #[test]
    fn what_is_faint_or_thin_is_left_out() {
        let faint = map_of(32, 32, |x, y| if x > 4 && x < 28 && y > 10 && y < 20 { 0.4 } else { 0.0 });
        assert!(find_boxes(&faint, 0.3, size(&faint)).is_empty());
        let thin = map_of(32, 32, |x, y| if x > 4 && x < 28 && y == 10 { 1.0 } else { 0.0 });
        assert!(find_boxes(&thin, 0.3, size(&thin)).is_empty());
        let nothing = Map::default();
        assert!(find_boxes(&nothing, 0.3, Size::MIN).is_empty());
    }

    #[test]
    fn noise_gives_a_bounded_number_of_objects() {
        // 4x4 pixels, apart by 2.
        let map = map_of(600, 600, |x, y| if x % 6 < 4 && y % 6 < 4 { 1.0 } else { 0.0 });
        assert_eq!(find_boxes(&map, 0.3, size(&map)).len(), MAX_OBJECTS);
        let checkers = map_of(500, 500, |x, y| ((x + y) % 2) as f32);
        // Diagonal neighbors are connected: one object, which fills the frame.
        assert_eq!(find_boxes(&checkers, 0.3, size(&checkers)).len(), 1);
    }
}
