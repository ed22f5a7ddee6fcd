use siskin_graph::onnx::{Attribute, Value};

use super::{Signal, StreamGraph};

impl StreamGraph {
    /// `x[.., from..to, ..]` along `axis`.
    pub(super) fn slice(&mut self, x: &Value, axis: i64, from: usize, to: usize) -> Value {
        let (from, to) = (self.writer.add_integers(&[from as i64]), self.writer.add_integers(&[to as i64]));
        let axis = self.writer.add_integers(&[axis]);
        self.node("Slice", &[x, &from, &to, &axis], &[])
    }

    /// All but the last `count` along `axis`, and those.
    pub(super) fn split_end(&mut self, x: &Value, axis: i64, count: usize) -> (Value, Value) {
        let (zero, at) = (self.writer.add_integers(&[0]), self.writer.add_integers(&[-(count as i64)]));
        // Beyond every end, which ONNX takes for the end.
        let end = self.writer.add_integers(&[i64::MAX]);
        let axis = self.writer.add_integers(&[axis]);
        let head = self.node("Slice", &[x, &zero, &at, &axis], &[]);
        (head, self.node("Slice", &[x, &at, &end, &axis], &[]))
    }

    /// All from `start` on along `axis`.
    pub(super) fn from(&mut self, x: &Value, axis: i64, start: usize) -> Value {
        self.slice(x, axis, start, i64::MAX as usize)
    }

    /// The last `count` along `axis`.
    pub(super) fn end_of(&mut self, x: &Value, axis: i64, count: usize) -> Value {
        let (at, end) = (self.writer.add_integers(&[-(count as i64)]), self.writer.add_integers(&[i64::MAX]));
        let axis = self.writer.add_integers(&[axis]);
        self.node("Slice", &[x, &at, &end, &axis], &[])
    }

    /// In `shape`, whose `None` takes what is left.
    pub(super) fn reshape_to(&mut self, x: &Value, shape: &[Option<usize>]) -> Value {
        let shape: Vec<i64> = shape.iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
        let shape = self.writer.add_integers(&shape);
        self.node("Reshape", &[x, &shape], &[])
    }

    pub(super) fn transpose(&mut self, x: &Value, order: &[i64]) -> Value {
        self.node("Transpose", &[x], &[Attribute::Ints("perm", order.to_vec())])
    }

    /// The channels `from..to`.
    pub(crate) fn channels(&mut self, x: &Signal, from: usize, to: usize) -> Signal {
        Signal { value: self.slice(&x.value, 1, from, to), channels: to - from, ..x.clone() }
    }

    /// Channels of `a`, then those of `b`.
    pub(crate) fn stack(&mut self, a: &Signal, b: &Signal) -> Signal {
        let lag = a.lag.max(b.lag);
        let (a, b) = (self.delay(a, lag - a.lag), self.delay(b, lag - b.lag));
        let value = self.node("Concat", &[&a.value, &b.value], &[Attribute::Int("axis", 1)]);
        Signal { value, channels: a.channels + b.channels, has_lead: a.has_lead || b.has_lead, ..a }
    }
}
