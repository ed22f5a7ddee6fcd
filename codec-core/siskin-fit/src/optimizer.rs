//! One step of the optimizer as part of the graph.
//!
//! A set of parameters is one vector, so that the step is a handful of operators however many tensors there are.

use siskin_graph::{Graph, Var};

/// How parameters follow their gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Optimizer {
    /// Kingma and Ba 2015.
    Adam,
    /// Adaptive Nesterov momentum (Xie et al. 2022), which Boosting-NeRV uses.
    #[default]
    Adan,
}

/// Adam's decay of the first and second moment.
const ADAM: [f64; 2] = [0.9, 0.999];
/// Adan's decay of the gradient, of its difference, and of the second moment; one minus the paper's betas.
// Adam's numbers above are that paper's defaults as well.
const ADAN: [f64; 3] = [0.98, 0.92, 0.99];
// The papers' value; it keeps 0 / 0 from becoming NaN.
const EPSILON: f32 = 1e-8;
/// Numbers that a step needs from outside.
// They are an input because they change with each step, and a graph is built once.
pub(super) const SCHEDULE: usize = 5;

impl Optimizer {
    /// Vectors that it keeps beside the parameters.
    pub(super) fn memories(self) -> usize {
        match self {
            Self::Adam => 2,
            Self::Adan => 4,
        }
    }

    /// The numbers of step `step`, counted from 1: learning rate, corrections for the start, whether the gradient before is
    /// known.
    pub(super) fn schedule(self, rate: f64, step: u32) -> [f32; SCHEDULE] {
        let power = |beta: f64| 1.0 - beta.powi(step.min(i32::MAX as u32) as i32);
        // Without it the first difference would be to a gradient of zero.
        let known = if step > 1 { 1.0 } else { 0.0 };
        match self {
            Self::Adam => {
                [rate as f32, (1.0 / power(ADAM[0])) as f32, 0.0, (1.0 / power(ADAM[1])).sqrt() as f32, known]
            }
            Self::Adan => [
                rate as f32,
                (1.0 / power(ADAN[0])) as f32,
                // The weight of the difference in Adan's direction and its bias correction in one number.
                (ADAN[1] / power(ADAN[1])) as f32,
                (1.0 / power(ADAN[2])).sqrt() as f32,
                known,
            ],
        }
    }

    /// Adds a step: from parameters, their gradient, the memories and the schedule `[5]` to the new parameters and memories.
    pub(super) fn step(
        self,
        g: &mut Graph,
        parameters: Var,
        gradient: Var,
        memories: &[Var],
        schedule: Var,
    ) -> (Var, Vec<Var>) {
        let at = |g: &mut Graph, i: usize| g.slice(schedule, &[i], &[1]);
        let (rate, first, difference, second) = (at(g, 0), at(g, 1), at(g, 2), at(g, 3));
        match self {
            Self::Adam => {
                let mean = decay(g, memories[0], gradient, ADAM[0]);
                let square = g.square(gradient);
                let power = decay(g, memories[1], square, ADAM[1]);
                let direction = g.mul(mean, first);
                (descend(g, parameters, direction, power, second, rate), vec![mean, power])
            }
            Self::Adan => {
                let known = at(g, 4);
                let change = g.sub(gradient, memories[3]);
                let change = g.mul(change, known);
                let mean = decay(g, memories[0], gradient, ADAN[0]);
                let drift = decay(g, memories[1], change, ADAN[1]);
                let ahead = g.scale(change, ADAN[1] as f32);
                let ahead = g.add(gradient, ahead);
                let square = g.square(ahead);
                let power = decay(g, memories[2], square, ADAN[2]);
                let direction = g.mul(mean, first);
                let drifting = g.mul(drift, difference);
                let direction = g.add(direction, drifting);
                let next = descend(g, parameters, direction, power, second, rate);
                // The last memory is the gradient itself, for the next step's difference.
                (next, vec![mean, drift, power, gradient])
            }
        }
    }
}

/// `beta * memory + (1 - beta) * value`.
fn decay(g: &mut Graph, memory: Var, value: Var, beta: f64) -> Var {
    let kept = g.scale(memory, beta as f32);
    let new = g.scale(value, (1.0 - beta) as f32);
    g.add(kept, new)
}

/// `parameters - rate * direction / (correction * sqrt(power) + epsilon)`.
fn descend(g: &mut Graph, parameters: Var, direction: Var, power: Var, correction: Var, rate: Var) -> Var {
    let root = g.sqrt(power);
    let root = g.mul(root, correction);
    let root = g.offset(root, EPSILON);
    let direction = g.div(direction, root);
    let step = g.mul(direction, rate);
    g.sub(parameters, step)
}
