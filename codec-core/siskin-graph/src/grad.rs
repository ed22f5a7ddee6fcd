//! Reverse-mode differentiation: the backward pass as more nodes of the same graph.

use super::{Binary, Graph, Op, Unary, Var};

/// 2 / sqrt(pi).
const ERF_SLOPE: f32 = std::f32::consts::FRAC_2_SQRT_PI;
/// 1 / sqrt(2 pi).
const NORMAL_PEAK: f32 = 0.398_942_3;

/// Gradients as far as they are known.
struct Adjoints {
    /// Of each value.
    whole: Vec<Option<Var>>,
    /// Of parts of each value, with where the parts begin.
    parts: Vec<Vec<(Vec<usize>, Var)>>,
}

impl Graph {
    /// Adds what computes the gradients of `sum over seeds of <value, weight>` with respect to `wrt`.
    ///
    /// A seed is a value and its weight, which has the value's shape or broadcasts to it. A value that no seed depends
    /// on has a gradient of zeros.
    pub fn gradients(&mut self, seeds: &[(Var, Var)], wrt: &[Var]) -> Vec<Var> {
        let end = seeds.iter().map(|(v, _)| v.0 + 1).max().unwrap_or(0);
        // Frames, noise and other constants need no gradients, which saves a good part of a backward pass.
        let active = self.depends_on(wrt, end);
        let mut adjoint = Adjoints { whole: vec![None; end], parts: vec![Vec::new(); end] };
        for &(value, weight) in seeds {
            self.accumulate(&mut adjoint, value, weight);
        }
        // Nodes are in topological order by construction, so all users of a value come before it here.
        for id in (0..end).rev() {
            // Slices are joined at the latest moment, when all are known.
            if !adjoint.parts[id].is_empty() {
                let parts = std::mem::take(&mut adjoint.parts[id]);
                let joined = self.join(Var(id), parts);
                self.accumulate(&mut adjoint, Var(id), joined);
            }
            if let (true, Some(g)) = (active[id], adjoint.whole[id]) {
                self.propagate(Var(id), g, &active, &mut adjoint);
            }
        }
        wrt.iter()
            .map(|&x| {
                let shape = self.shape(x).to_vec();
                match adjoint.whole.get(x.0).copied().flatten() {
                    // A gradient that is the same along an axis is kept small until somebody needs it whole.
                    Some(g) => self.expand(g, &shape),
                    None => {
                        let zero = self.scalar(0.0);
                        self.expand(zero, &shape)
                    }
                }
            })
            .collect()
    }

    fn depends_on(&self, wrt: &[Var], end: usize) -> Vec<bool> {
        let mut active = vec![false; end];
        for id in 0..end {
            active[id] = wrt.contains(&Var(id)) || operands(&self.nodes[id].op).iter().any(|o| active[o.0]);
        }
        active
    }

    fn accumulate(&mut self, adjoint: &mut Adjoints, x: Var, g: Var) {
        adjoint.whole[x.0] = Some(match adjoint.whole[x.0] {
            Some(known) => self.add(known, g),
            None => g,
        });
    }

    /// The gradient of `x` from those of its parts. Parts that lie side by side, as a value that was split has them, are
    /// written once; others are added up.
    fn join(&mut self, x: Var, mut parts: Vec<(Vec<usize>, Var)>) -> Var {
        let shape = self.shape(x).to_vec();
        // By where they begin; that also makes the graph independent of the order of use.
        parts.sort();
        let cut: Vec<usize> =
            (0..shape.len()).filter(|&a| parts.iter().any(|p| self.shape(p.1)[a] != shape[a])).collect();
        // Parts that overlap, as the windows of a sliding read would, have to be added.
        let is_split =
            |axis: usize| parts.windows(2).all(|w| w[0].0[axis] + self.shape(w[0].1)[axis] <= w[1].0[axis]);
        match cut[..] {
            [axis] if parts.len() > 1 && is_split(axis) => {
                let (mut side_by_side, mut end) = (Vec::with_capacity(parts.len()), 0);
                for (starts, g) in parts {
                    self.fill(&mut side_by_side, &shape, axis, starts[axis] - end);
                    end = starts[axis] + self.shape(g)[axis];
                    side_by_side.push(g);
                }
                self.fill(&mut side_by_side, &shape, axis, shape[axis] - end);
                self.concat(&side_by_side, axis)
            }
            _ => {
                let mut padded =
                    parts.into_iter().map(|(starts, g)| self.pad(g, &starts, &shape)).collect::<Vec<_>>();
                let first = padded.swap_remove(0);
                padded.into_iter().fold(first, |sum, g| self.add(sum, g))
            }
        }
    }

    /// Adds `count` zeros along an axis to a list of values of `shape` elsewhere.
    fn fill(&mut self, list: &mut Vec<Var>, shape: &[usize], axis: usize, count: usize) {
        if count > 0 {
            let mut gap = shape.to_vec();
            gap[axis] = count;
            let zero = self.scalar(0.0);
            list.push(self.expand(zero, &gap));
        }
    }

    /// Hands the gradient `g` of a node on to its operands. A gradient may have axes of size 1 where it is the same
    /// along an axis of the value.
    fn propagate(&mut self, y: Var, g: Var, active: &[bool], adjoint: &mut Adjoints) {
        // A clone, since adding nodes needs the graph; constants are shared, so it is cheap.
        let op = self.nodes[y.0].op.clone();
        let shape = self.shape(y).to_vec();
        match op {
            Op::Input(_) | Op::Constant(_) | Op::Noise(_) => {}
            Op::Unary(f, x) => {
                if let Some(gx) = self.unary_gradient(f, x, y, g) {
                    self.accumulate(adjoint, x, gx);
                }
            }
            Op::Binary(f, a, b) => {
                // A product broadcasts the small gradient by itself, as long as the other factor has the full shape.
                let full = matches!(f, Binary::Add | Binary::Sub)
                    || self.shape(a) != shape.as_slice()
                    || self.shape(b) != shape.as_slice();
                let g = if full { self.expand(g, &shape) } else { g };
                for (is_left, x) in [(true, a), (false, b)] {
                    if !active[x.0] {
                        continue;
                    }
                    let gx = match (f, is_left) {
                        (Binary::Add, _) | (Binary::Sub, true) => g,
                        (Binary::Sub, false) => self.neg(g),
                        (Binary::Mul, true) => self.mul(g, b),
                        (Binary::Mul, false) => self.mul(g, a),
                        (Binary::Div, true) => self.div(g, b),
                        (Binary::Div, false) => {
                            // From `y = a / b`: the quotient is there already.
                            let slope = self.div(y, b);
                            let gx = self.mul(g, slope);
                            self.neg(gx)
                        }
                    };
                    let gx = self.unbroadcast(gx, x);
                    self.accumulate(adjoint, x, gx);
                }
            }
            // The gradient is the same along the summed axes, so it stays small.
            Op::Sum(x) => self.accumulate(adjoint, x, g),
            Op::Expand(x) => {
                let g = self.expand(g, &shape);
                let gx = self.unbroadcast(g, x);
                self.accumulate(adjoint, x, gx);
            }
            Op::Reshape(x) => {
                let g = self.expand(g, &shape);
                let own = self.shape(x).to_vec();
                let gx = self.reshape(g, &own);
                self.accumulate(adjoint, x, gx);
            }
            Op::Transpose(x, order) => {
                let mut back = vec![0; order.len()];
                order.iter().enumerate().for_each(|(i, &a)| back[a] = i);
                let gx = self.transpose(g, &back);
                self.accumulate(adjoint, x, gx);
            }
            Op::Slice(x, starts) => {
                let g = self.expand(g, &shape);
                // Padding each slice to the full size would make a fit's one vector of parameters be written once per
                // tensor.
                adjoint.parts[x.0].push((starts, g));
            }
            Op::Flip(x, axes) => {
                let g = self.expand(g, &shape);
                let gx = self.flip(g, &axes);
                self.accumulate(adjoint, x, gx);
            }
            Op::Pad(x, before) => {
                let g = self.expand(g, &shape);
                let own = self.shape(x).to_vec();
                let gx = self.slice(g, &before, &own);
                self.accumulate(adjoint, x, gx);
            }
            Op::Concat(parts, axis) => {
                let g = self.expand(g, &shape);
                let mut starts = vec![0; shape.len()];
                for part in parts {
                    let own = self.shape(part).to_vec();
                    if active[part.0] {
                        let gx = self.slice(g, &starts, &own);
                        self.accumulate(adjoint, part, gx);
                    }
                    starts[axis] += own[axis];
                }
            }
            Op::MatMul(a, b) => {
                let g = self.expand(g, &shape);
                if active[a.0] {
                    let bt = self.swap_last(b);
                    let ga = self.matmul(g, bt);
                    let ga = self.unbroadcast(ga, a);
                    self.accumulate(adjoint, a, ga);
                }
                if active[b.0] {
                    let at = self.swap_last(a);
                    let gb = self.matmul(at, g);
                    let gb = self.unbroadcast(gb, b);
                    self.accumulate(adjoint, b, gb);
                }
            }
            Op::Conv(x, w, bias, pads) => {
                let g = self.expand(g, &shape);
                let kernel = self.shape(w).to_vec();
                if active[x.0] {
                    // Planes that are constant, as those that carry a shift are, need no gradient.
                    let (x, w) = match &self.nodes[x.0].op {
                        Op::Concat(parts, 1)
                            if parts.iter().filter(|p| active[p.0]).count() == 1 && active[parts[0].0] =>
                        {
                            let part = parts[0];
                            let own = [kernel[0], self.shape(part)[1], kernel[2], kernel[3]];
                            (part, self.slice(w, &[0; 4], &own))
                        }
                        _ => (x, w),
                    };
                    let mut back = self.transpose(w, &[1, 0, 2, 3]);
                    // A kernel of one tap is its own mirror.
                    if kernel[2] * kernel[3] > 1 {
                        back = self.flip(back, &[2, 3]);
                    }
                    let (v, h) = (kernel[2] - 1, kernel[3] - 1);
                    // A convolution with flipped taps and not `ConvTranspose`, which measured half as fast on the CPU
                    // (62 against 122 ms for 24 channels at 480x270).
                    let gx = self.conv(g, back, None, [v - pads[0], h - pads[1], v - pads[2], h - pads[3]]);
                    self.accumulate(adjoint, x, gx);
                }
                if active[w.0] {
                    let gw = self.push(Op::ConvWeight(x, g, pads), kernel);
                    self.accumulate(adjoint, w, gw);
                }
                if let Some(bias) = bias.filter(|b| active[b.0]) {
                    let sum = self.sum(g, &[0, 2, 3]);
                    let own = self.shape(bias).to_vec();
                    let gb = self.reshape(sum, &own);
                    self.accumulate(adjoint, bias, gb);
                }
            }
            Op::DepthToSpace(x, block) => {
                let g = self.expand(g, &shape);
                let gx = self.space_to_depth(g, block);
                self.accumulate(adjoint, x, gx);
            }
            Op::SpaceToDepth(x, block) => {
                let g = self.expand(g, &shape);
                let gx = self.depth_to_space(g, block);
                self.accumulate(adjoint, x, gx);
            }
            Op::Softmax(x) => {
                let weighted = self.mul(g, y);
                // The Jacobian of softmax is `diag(y) - y y^T`: two products and a sum instead of a matrix.
                let mean = self.sum(weighted, &[shape.len() - 1]);
                let share = self.mul(mean, y);
                let gx = self.sub(weighted, share);
                self.accumulate(adjoint, x, gx);
            }
            Op::Halve(x) => {
                let g = self.expand(g, &shape);
                let quarter = self.scale(g, 0.25);
                let gx = self.double(quarter);
                self.accumulate(adjoint, x, gx);
            }
            Op::Double(x) => {
                let g = self.expand(g, &shape);
                let mean = self.halve(g);
                let gx = self.scale(mean, 4.0);
                self.accumulate(adjoint, x, gx);
            }
            Op::SegmentSum(x, lengths) => {
                let g = self.expand(g, &shape);
                let gx = self.segment_expand(g, &lengths);
                self.accumulate(adjoint, x, gx);
            }
            Op::SegmentExpand(x, lengths) => {
                let g = self.expand(g, &shape);
                let gx = self.segment_sum(g, &lengths);
                self.accumulate(adjoint, x, gx);
            }
            Op::Depthwise(x, w, pads) => {
                let g = self.expand(g, &shape);
                let kernel = self.shape(w).to_vec();
                let (v, h) = (kernel[2] - 1, kernel[3] - 1);
                // Each channel has one kernel, so nothing is transposed. The windows of the loss are constants and
                // get no gradient.
                let back = self.flip(w, &[2, 3]);
                let gx = self.depthwise(g, back, [v - pads[0], h - pads[1], v - pads[2], h - pads[3]]);
                self.accumulate(adjoint, x, gx);
            }
            Op::ConvWeight(..) => unreachable!("second derivatives are not taken"),
            Op::ScaleShift(..) => unreachable!("for decoding only"),
        }
    }

    fn unary_gradient(&mut self, f: Unary, x: Var, y: Var, g: Var) -> Option<Var> {
        Some(match f {
            Unary::Neg => self.neg(g),
            // Straight through: the true slope is zero almost everywhere, and nothing would be learned.
            Unary::Round => g,
            Unary::Sign => return None,
            Unary::Abs => {
                let sign = self.sign(x);
                self.mul(g, sign)
            }
            Unary::Sqrt => {
                // From the result: one division. Callers keep it away from 0 by a floor.
                let slope = self.div(g, y);
                self.scale(slope, 0.5)
            }
            Unary::Exp => self.mul(g, y),
            Unary::Log => self.div(g, x),
            Unary::Sin => {
                let slope = self.cos(x);
                self.mul(g, slope)
            }
            Unary::Cos => {
                let slope = self.sin(x);
                let gx = self.mul(g, slope);
                self.neg(gx)
            }
            Unary::Tanh => {
                let square = self.mul(y, y);
                let square = self.neg(square);
                let slope = self.offset(square, 1.0);
                self.mul(g, slope)
            }
            Unary::Erf => {
                let square = self.mul(x, x);
                let square = self.neg(square);
                let slope = self.exp(square);
                let slope = self.scale(slope, ERF_SLOPE);
                self.mul(g, slope)
            }
            Unary::Relu => {
                // The sign of the output is 1 where the input passed and 0 elsewhere.
                let slope = self.sign(y);
                self.mul(g, slope)
            }
            Unary::Gelu => {
                let cdf = self.scale(x, std::f32::consts::FRAC_1_SQRT_2);
                let cdf = self.erf(cdf);
                let cdf = self.offset(cdf, 1.0);
                let cdf = self.scale(cdf, 0.5);
                // The slope of `x Phi(x)` is `Phi(x) + x phi(x)`.
                let density = self.mul(x, x);
                let density = self.scale(density, -0.5);
                let density = self.exp(density);
                let density = self.scale(density, NORMAL_PEAK);
                let slope = self.mul(x, density);
                let slope = self.add(slope, cdf);
                self.mul(g, slope)
            }
            Unary::Square => {
                let slope = self.scale(x, 2.0);
                self.mul(g, slope)
            }
        })
    }

    /// Sums a gradient over the axes along which `x` was broadcast.
    fn unbroadcast(&mut self, g: Var, x: Var) -> Var {
        let own = self.shape(x).to_vec();
        let have = self.shape(g).to_vec();
        let extra = have.len() - own.len();
        let mut kept = vec![1; extra];
        kept.extend(own.iter().zip(&have[extra..]).map(|(&o, &h)| o.min(h)));
        let sum = self.sum_to(g, kept);
        let rest = self.shape(sum)[extra..].to_vec();
        self.reshape(sum, &rest)
    }

    /// Swaps the last two axes.
    pub fn swap_last(&mut self, x: Var) -> Var {
        let rank = self.shape(x).len();
        let mut order: Vec<usize> = (0..rank).collect();
        order.swap(rank - 1, rank - 2);
        self.transpose(x, &order)
    }
}

/// What a node is computed from.
pub(super) fn operands(op: &Op) -> Vec<Var> {
    match op {
        Op::Input(_) | Op::Constant(_) | Op::Noise(_) => Vec::new(),
        Op::Unary(_, x)
        | Op::Sum(x)
        | Op::Expand(x)
        | Op::Reshape(x)
        | Op::Transpose(x, _)
        | Op::Slice(x, _)
        | Op::Flip(x, _)
        | Op::Pad(x, _)
        | Op::DepthToSpace(x, _)
        | Op::SpaceToDepth(x, _)
        | Op::Softmax(x)
        | Op::Halve(x)
        | Op::Double(x)
        | Op::SegmentSum(x, _)
        | Op::SegmentExpand(x, _) => vec![*x],
        Op::Binary(_, a, b) | Op::MatMul(a, b) | Op::ConvWeight(a, b, _) | Op::Depthwise(a, b, _) => {
            vec![*a, *b]
        }
        Op::Conv(x, w, bias, _) => [*x, *w].into_iter().chain(*bias).collect(),
        Op::ScaleShift(x, scale, shift) => vec![*x, *scale, *shift],
        Op::Concat(parts, _) => parts.clone(),
    }
}
