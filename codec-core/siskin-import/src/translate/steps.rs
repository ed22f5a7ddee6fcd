//! Arithmetic of int8 as XNNPACK does it.

use siskin_graph::onnx::{Attribute, Value};

use super::{Form, Held, Scale, Translation};
use crate::checkpoint::tflite::Element;

/// Slopes and factors of the leaky rectifier have eight bits behind the point.
const SLOPE_ONE: f32 = 256.0;
/// Less than such a bit, and more than what floats lose: a tie goes up whichever way it was rounded.
const TIE: f32 = 1.0 / 1024.0;

impl Translation<'_> {
    /// How the integers of a tensor stand for numbers.
    pub(super) fn scale(&self, tensor: usize) -> Result<Scale, String> {
        let entry = self.entry(tensor);
        match &entry.quantized {
            Some(q) if entry.element == Element::I8 && q.scales.len() == 1 => {
                Ok(Scale { scale: q.scales[0], zero_point: q.zero_point })
            }
            _ => Err(format!("tensor {}: {:?} without a scale", entry.name, entry.element)),
        }
    }

    /// The numbers of a signal.
    pub(super) fn real(&mut self, x: &Held) -> Value {
        match &x.form {
            Form::Real(value) => value.clone(),
            Form::Steps(value, scale) => self.multiply(value, scale.scale),
        }
    }

    fn multiply(&mut self, x: &Value, factor: f32) -> Value {
        let factor = self.floats(&[], &[factor]);
        self.node("Mul", &[x, &factor], &[])
    }

    fn clip(&mut self, x: &Value, scale: Scale) -> Value {
        let [low, high] = scale.range().map(|x| self.floats(&[], &[x]));
        self.node("Clip", &[x, &low, &high], &[])
    }

    /// Multiples of the scale's step, as numbers that need not be whole, to the nearest integer that int8 holds; ties go to
    /// the even one.
    fn round(&mut self, x: &Value, scale: Scale) -> Form {
        let rounded = self.node("Round", &[x], &[]);
        Form::Steps(self.clip(&rounded, scale), scale)
    }

    pub(super) fn quantize(&mut self, x: usize, out: usize) -> Result<Held, String> {
        let (x, scale) = (self.signal(x)?, self.scale(out)?);
        if matches!(x.form, Form::Steps(_, s) if s == scale) {
            return Ok(x);
        }
        let real = self.real(&x);
        let scaled = self.multiply(&real, 1.0 / scale.scale);
        Ok(Held { form: self.round(&scaled, scale), ..x })
    }

    /// A constant for each channel, `length` times: two equal shapes are seven times as fast to multiply as a row and a matrix of
    /// few rows (0.3 and 2.3 µs).
    pub(super) fn spread(&mut self, values: &[f32], length: usize) -> Value {
        self.floats(&[length, values.len()], &values.repeat(length))
    }

    /// Sums of products of integers, `[length, channels]`, in the steps of `out`. `factors` are the scales of the sums, one or
    /// one for each channel.
    pub(super) fn requantize(
        &mut self,
        sums: &Value,
        factors: &[f32],
        [length, _]: [usize; 2],
        out: Scale,
    ) -> Form {
        let factors: Vec<f32> = factors.iter().map(|f| f / out.scale).collect();
        let scaled = if let [factor] = factors[..] {
            self.multiply(sums, factor)
        } else {
            let factors = self.spread(&factors, length);
            self.node("Mul", &[sums, &factors], &[])
        };
        self.round(&scaled, out)
    }

    pub(super) fn leaky_relu(&mut self, x: usize, slope: f32, out: usize) -> Result<Held, String> {
        if !(slope > 0.0 && slope < 1.0) {
            return Err(format!("slope {slope}, allowed: 0 to 1"));
        }
        let x = self.signal(x)?;
        let Form::Steps(value, from) = &x.form else {
            let real = self.real(&x);
            let form = Form::Real(self.node("LeakyRelu", &[&real], &[Attribute::Float("alpha", slope)]));
            return Ok(Held { form, ..x });
        };
        let to = self.scale(out)?;
        let ratio = from.scale / to.scale;
        let (positive, negative) =
            ((SLOPE_ONE * ratio).round_ties_even(), (SLOPE_ONE * (ratio * slope)).round_ties_even());
        // Up to here floats lose less than TIE.
        if !(negative >= 1.0 && positive <= 8.0 * SLOPE_ONE) {
            return Err(format!("scales {} to {}, allowed: up to 8", from.scale, to.scale));
        }
        let bent = self.node("LeakyRelu", &[value], &[Attribute::Float("alpha", negative / positive)]);
        let scaled = self.multiply(&bent, positive / SLOPE_ONE);
        let half = self.floats(&[], &[0.5 + TIE]);
        let shifted = self.node("Add", &[&scaled, &half], &[]);
        let mut steps = self.node("Floor", &[&shifted], &[]);
        let [low, high] = from.range();
        let reached = [low * negative, high * positive].map(|x| (x / SLOPE_ONE + 0.5).floor());
        let [low, high] = to.range();
        if reached[0] < low || reached[1] > high {
            steps = self.clip(&steps, to);
        }
        Ok(Held { form: Form::Steps(steps, to), ..x })
    }

    pub(super) fn add(&mut self, a: usize, b: usize, out: usize) -> Result<Held, String> {
        let (a, b) = (self.signal(a)?, self.signal(b)?);
        if [a.channels, a.length] != [b.channels, b.length] {
            return Err("a sum of signals of two shapes".into());
        }
        if self.entry(out).element != Element::I8 {
            let values = [self.real(&a), self.real(&b)];
            return Ok(Held { form: Form::Real(self.node("Add", &[&values[0], &values[1]], &[])), ..a });
        }
        let (Form::Steps(x, from_a), Form::Steps(y, from_b)) = (&a.form, &b.form) else {
            return Err("integers as a sum of numbers".into());
        };
        let to = self.scale(out)?;
        let (x, y) = (self.multiply(x, from_a.scale / to.scale), self.multiply(y, from_b.scale / to.scale));
        let sum = self.node("Add", &[&x, &y], &[]);
        Ok(Held { form: self.round(&sum, to), ..a })
    }

    /// Numbers less a constant for each channel.
    pub(super) fn subtract(&mut self, a: usize, b: usize) -> Result<Held, String> {
        let (a, b) = (self.signal(a)?, self.model.constant(self.entry(b))?);
        if b.shape != [a.channels] {
            return Err(format!("{} channels less {:?} constants", a.channels, b.shape));
        }
        let (x, y) = (self.real(&a), self.spread(&b.values, a.length));
        Ok(Held { form: Form::Real(self.node("Sub", &[&x, &y], &[])), ..a })
    }
}
