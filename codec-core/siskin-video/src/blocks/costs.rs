//! What decisions cost in bits, looked up: an encoder asks some hundred times for each that it codes.

use siskin_entropy::binary::bit_costs;

use super::coefficients::{Place, last_class};
use super::contexts::{COUNT, Contexts, LAST_CLASSES};

/// Luma and chroma with sides of 4 to 32, each with columns and rows.
const LASTS: usize = 2 * 4;

/// The bits of all decisions at one time.
// Once a tree: within one they change by less than their estimates are off.
#[derive(Debug, Clone)]
pub(super) struct Costs {
    /// Of a no and of a yes.
    decisions: [[f32; 2]; COUNT],
    /// Of columns and rows that are the last to have a level.
    lasts: [[[f32; 32]; 2]; LASTS],
    /// Of the cheapest of them.
    least: [f32; LASTS],
}

impl Costs {
    pub(super) fn new() -> Self {
        Self { decisions: [[1.0; 2]; COUNT], lasts: [[[0.0; 32]; 2]; LASTS], least: [0.0; LASTS] }
    }

    pub(super) fn update(&mut self, contexts: &Contexts) {
        for (cost, bits) in self.decisions.iter_mut().zip(bit_costs(&contexts.0)) {
            *cost = bits;
        }
        for index in 0..LASTS {
            let place = Place { chroma: index / 4, log: 2 + index as u32 % 4 };
            let mut least = 0.0;
            for axis in 0..2 {
                let classes = self.class_costs(place, axis == 1);
                let costs = &mut self.lasts[index][axis][..1 << place.log];
                for (value, cost) in costs.iter_mut().enumerate() {
                    let (class, bits, _) = last_class(value);
                    *cost = classes[class] + bits as f32;
                }
                least += costs.iter().copied().fold(f32::MAX, f32::min);
            }
            self.least[index] = least;
        }
    }

    #[inline]
    pub(super) fn of(&self, decision: usize, value: bool) -> f32 {
        self.decisions[decision][usize::from(value)]
    }

    /// Bits that say that (x, y) is the last level.
    #[inline]
    pub(super) fn last(&self, place: Place, x: usize, y: usize) -> f32 {
        let [columns, rows] = &self.lasts[Self::index(place)];
        columns[x] + rows[y]
    }

    /// The least that the last level of a block can cost.
    pub(super) fn least_last(&self, place: Place) -> f32 {
        self.least[Self::index(place)]
    }

    fn index(place: Place) -> usize {
        place.chroma * 4 + place.log as usize - 2
    }

    /// Bits of each class of last coordinates.
    fn class_costs(&self, place: Place, is_row: bool) -> [f32; LAST_CLASSES + 1] {
        let mut classes = [0.0; LAST_CLASSES + 1];
        let (mut sum, most) = (0.0, place.last_classes());
        for (class, cost) in classes.iter_mut().enumerate().take(most) {
            *cost = sum + self.of(place.last(is_row, class), false);
            sum += self.of(place.last(is_row, class), true);
        }
        classes[most] = sum;
        classes
    }
}
