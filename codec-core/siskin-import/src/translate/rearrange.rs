//! What moves values and computes none: variables, joining, slicing, splitting.

use siskin_graph::onnx::{Attribute, Value};
use siskin_model::bundle::StateSpec;

use super::{Form, Held, Translation};
use crate::checkpoint::tflite::Element;

impl Translation<'_> {
    /// A signal that an operator has made, or a constant one.
    pub(super) fn signal(&mut self, tensor: usize) -> Result<Held, String> {
        if let Some(held) = self.held.get(&tensor) {
            return Ok(held.clone());
        }
        let entry = self.entry(tensor);
        let [1, length, 1, channels] = entry.shape[..] else {
            return Err(format!(
                "tensor {} {:?} is no signal, or is not computed before",
                entry.name, entry.shape
            ));
        };
        if entry.element != Element::F32 {
            return Err(format!("tensor {}: a constant of {:?} as a signal", entry.name, entry.element));
        }
        let values = self.model.constant(entry)?.values;
        let value = self.floats(&[length, channels], &values);
        Ok(Held { form: Form::Real(value), channels, length })
    }

    /// The integers of a constant in one dimension, or a single one.
    fn integers(&self, tensor: usize) -> Result<Vec<i64>, String> {
        let entry = self.entry(tensor);
        if entry.element != Element::I32 || entry.shape.len() > 1 {
            return Err(format!(
                "tensor {}: {:?} {:?}, expected: integers",
                entry.name, entry.element, entry.shape
            ));
        }
        Ok(self.model.constant(entry)?.values.into_iter().map(|v| v as i64).collect())
    }

    pub(super) fn variable_name(&self, handle: usize) -> Result<String, String> {
        self.handles.get(&handle).cloned().ok_or_else(|| "a variable that is not named".into())
    }

    pub(super) fn read_variable(&mut self, handle: usize, out: usize) -> Result<Held, String> {
        let name = self.variable_name(handle)?;
        let [1, length, 1, channels] = self.entry(out).shape[..] else {
            return Err(format!("the variable {name} is no signal: {:?}", self.entry(out).shape));
        };
        super::count(self.entry(out))?;
        let (number, shape) = (self.states.len(), vec![length, channels]);
        let variable =
            self.variables.get_mut(&name).ok_or_else(|| format!("the variable {name} is not written"))?;
        if variable.is_written || variable.state.is_some() {
            return Err(format!("the variable {name} is read twice, or after it was written"));
        }
        let spec = StateSpec {
            name: format!("s{number}"),
            output: format!("s{number}_next"),
            shape,
            in_place: false,
        };
        variable.state = Some(spec.clone());
        let scale = variable.scale;
        let value = self.writer.add_input(&spec.name, &spec.shape);
        self.states.push(name);
        // Zero stands for zero in both forms.
        let form = scale.map_or(Form::Real(value.clone()), |s| Form::Steps(value, s));
        Ok(Held { form, channels, length })
    }

    pub(super) fn write_variable(&mut self, handle: usize, value: usize) -> Result<(), String> {
        let name = self.variable_name(handle)?;
        let next = self.signal(value)?;
        let scale = self.variables.get(&name).ok_or("a variable that was not found")?.scale;
        let value = match (&next.form, scale) {
            (Form::Steps(value, s), Some(scale)) if *s == scale => value.clone(),
            (_, None) => self.real(&next),
            _ => return Err(format!("the variable {name} gets values of another scale")),
        };
        let shape = vec![next.length, next.channels];
        let Some(variable) = self.variables.get_mut(&name) else { return Ok(()) };
        match &variable.state {
            Some(spec) if spec.shape == shape => {
                variable.is_written = true;
                self.writer.set_output(&spec.output, &shape, &value);
                Ok(())
            }
            _ => Err(format!("the variable {name} gets {shape:?}, which is not what it holds")),
        }
    }

    /// Signals one after another (axis 1), or channels beside channels (axis 3).
    pub(super) fn concat(&mut self, parts: &[Option<usize>], axis: i32) -> Result<Held, String> {
        let held = parts.iter().flatten().map(|&t| self.signal(t)).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = held.first() else { return Err("nothing to join".into()) };
        let in_time = axis == 1;
        let fits = |h: &Held| if in_time { h.channels == first.channels } else { h.length == first.length };
        if !(in_time || axis == 3 || axis == -1) || !held.iter().all(fits) {
            return Err(format!("signals that do not fit along axis {axis}"));
        }
        let scale = match first.form {
            Form::Steps(_, scale) => Some(scale),
            _ => None,
        };
        // Integers of one scale stay integers.
        let is_steps = held.iter().all(|h| matches!(h.form, Form::Steps(_, s) if Some(s) == scale));
        let values: Vec<Value> = held
            .iter()
            .map(|h| match &h.form {
                Form::Steps(value, _) if is_steps => value.clone(),
                _ => self.real(h),
            })
            .collect();
        let axis = Attribute::Int("axis", if in_time { 0 } else { 1 });
        let value = self.node("Concat", &values.iter().collect::<Vec<_>>(), &[axis]);
        let sum = |side: fn(&Held) -> usize| held.iter().map(side).sum::<usize>();
        let (channels, length) =
            if in_time { (first.channels, sum(|h| h.length)) } else { (sum(|h| h.channels), first.length) };
        let form = match scale {
            Some(scale) if is_steps => Form::Steps(value, scale),
            _ => Form::Real(value),
        };
        Ok(Held { form, channels, length })
    }

    /// `x[from..to]` by steps along `axis`, 0 for time and 1 for channels.
    pub(super) fn slice(&mut self, x: &Value, axis: i64, [from, to, step]: [usize; 3]) -> Value {
        let [from, to, step] = [from, to, step].map(|i| self.writer.add_integers(&[i as i64]));
        let axis = self.writer.add_integers(&[axis]);
        self.node("Slice", &[x, &from, &to, &axis, &step], &[])
    }

    pub(super) fn reshape(&mut self, x: &Value, shape: &[usize]) -> Value {
        let shape: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
        let shape = self.writer.add_integers(&shape);
        self.node("Reshape", &[x, &shape], &[])
    }

    fn slice_held(&mut self, x: &Held, axis: i64, from: usize, to: usize) -> Held {
        let bounds = [from, to, 1];
        let form = match &x.form {
            Form::Steps(value, scale) => Form::Steps(self.slice(value, axis, bounds), *scale),
            Form::Real(value) => Form::Real(self.slice(value, axis, bounds)),
        };
        let (channels, length) = if axis == 1 { (to - from, x.length) } else { (x.channels, to - from) };
        Held { form, channels, length }
    }

    /// Where a slice along time begins and ends: bit `i` of a mask says that the slice has all of axis `i` on that side.
    pub(super) fn bounds(
        &self,
        length: usize,
        [begin, end, step]: [usize; 3],
        masks: [i32; 2],
    ) -> Result<[usize; 2], String> {
        let (bounds, steps) = ([self.integers(begin)?, self.integers(end)?], self.integers(step)?);
        if steps != [1; 4]
            || bounds.iter().any(|b| b.len() != 4)
            || masks.iter().any(|m| m | 0b0010 != 0b1111)
        {
            return Err(format!("from {:?} to {:?} by {steps:?}, masks {masks:?}", bounds[0], bounds[1]));
        }
        let length = length as i64;
        let place = |side: usize, whole: i64| match (masks[side] & 0b0010, bounds[side][1]) {
            (0, at) if at < 0 => at + length,
            (0, at) => at,
            _ => whole,
        };
        let (from, to) = (place(0, 0), place(1, length));
        if !(0 <= from && from < to && to <= length) {
            return Err(format!("from {from} to {to} of {length}"));
        }
        Ok([from as usize, to as usize])
    }

    /// A slice along time.
    pub(super) fn slice_time(
        &mut self,
        x: usize,
        places: [usize; 3],
        masks: [i32; 2],
    ) -> Result<Held, String> {
        let x = self.signal(x)?;
        let [from, to] = self.bounds(x.length, places, masks)?;
        Ok(self.slice_held(&x, 0, from, to))
    }

    /// Channels in equal parts.
    pub(super) fn split(&mut self, axis: usize, x: usize, outputs: &[usize]) -> Result<(), String> {
        let (axis, x) = (self.integers(axis)?, self.signal(x)?);
        if !(axis == [3] || axis == [-1]) || outputs.is_empty() || !x.channels.is_multiple_of(outputs.len()) {
            return Err(format!("{} channels in {} parts along {axis:?}", x.channels, outputs.len()));
        }
        let part = x.channels / outputs.len();
        for (i, &out) in outputs.iter().enumerate() {
            let made = self.slice_held(&x, 1, i * part, (i + 1) * part);
            self.hold(out, made)?;
        }
        Ok(())
    }
}
