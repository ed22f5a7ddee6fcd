//! Networks as graphs of plain operators with static shapes: built, differentiated and written as ONNX.
//!
//! ONNX Runtime's training build is dead upstream, but a training step is only a graph like any other. [`Graph`] holds
//! the forward pass, [`Graph::gradients`] adds the backward pass to it (reverse mode), the optimizer is more of the
//! same operators, and [`Graph::to_onnx`] writes the whole as one model of standard operators that the stock library
//! runs on any provider.
//!
//! Values are 32-bit floats. Shapes follow the rules of NumPy; a scalar has the empty shape. Mistakes in a graph are
//! mistakes of this crate, never of the input, so they are assertions.
//!
//! ```
//! use siskin_graph::Graph;
//!
//! // The sum of squares and its gradient, 2 x, as one ONNX model.
//! let mut g = Graph::new();
//! let x = g.input("x", &[3]);
//! let squares = g.square(x);
//! let loss = g.sum_all(squares);
//! let one = g.scalar(1.0);
//! let gradient = g.gradients(&[(loss, one)], &[x])[0];
//! assert_eq!(g.shape(gradient), g.shape(x));
//! let model = g.to_onnx("squares", &[("loss", loss), ("gradient", gradient)]);
//! assert!(!model.is_empty());
//! ```

mod emit;
mod grad;
pub mod onnx;
mod proto;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

/// A value in a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Var(pub(crate) usize);

/// Functions of one value, element by element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unary {
    Neg,
    Abs,
    Sign,
    Sqrt,
    Exp,
    Log,
    Sin,
    Cos,
    Tanh,
    Erf,
    Relu,
    Gelu,
    Square,
    /// Rounds half to even; differentiated as if it were the identity (straight-through).
    Round,
}

/// Functions of two values, element by element with broadcasting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Input(String),
    Constant(Arc<[f32]>),
    /// Uniform noise in -0.5..0.5, new in each run.
    Noise(u32),
    Unary(Unary, Var),
    Binary(Binary, Var, Var),
    /// Sum over each axis that is 1 in the result and more in the operand.
    Sum(Var),
    Expand(Var),
    Reshape(Var),
    Transpose(Var, Vec<usize>),
    /// From these starts, as many as the result has.
    Slice(Var, Vec<usize>),
    /// Reverses these axes.
    Flip(Var, Vec<usize>),
    /// Zeros before and behind; so many before.
    Pad(Var, Vec<usize>),
    Concat(Vec<Var>, usize),
    MatMul(Var, Var),
    /// `[1, Ci, H, W]` by `[Co, Ci, k, l]`, stride 1, zeros around (top, left, bottom, right).
    Conv(Var, Var, Option<Var>, [usize; 4]),
    /// The gradient of a convolution's weights: its input, the gradient of its output, its padding.
    ConvWeight(Var, Var, [usize; 4]),
    /// `x` [n, c, h, w] by `w` [c, 1, h, w], each channel by its own kernel; padding before and behind rows and columns.
    Depthwise(Var, Var, [usize; 4]),
    DepthToSpace(Var, usize),
    SpaceToDepth(Var, usize),
    /// `x` [n, c, h, w] times a factor a channel `[c]` plus a term a channel `[c]`, in one pass.
    ScaleShift(Var, Var, Var),
    /// Exponentials along the last axis as shares of their sum.
    Softmax(Var),
    /// Means of 2 by 2 values.
    Halve(Var),
    /// Each value twice along rows and columns.
    Double(Var),
    /// `[P]` in runs of these lengths to the sum of each run.
    SegmentSum(Var, Vec<usize>),
    /// One value a run to `[P]`.
    SegmentExpand(Var, Vec<usize>),
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) op: Op,
    pub(crate) shape: Vec<usize>,
}

/// A network under construction.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    // By their bits, since floats have no hash; a training step uses the same few numbers again and again.
    scalars: HashMap<u32, Var>,
    noises: u32,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// The static shape of a value.
    pub fn shape(&self, x: Var) -> &[usize] {
        &self.nodes[x.0].shape
    }

    fn push(&mut self, op: Op, shape: Vec<usize>) -> Var {
        self.nodes.push(Node { op, shape });
        Var(self.nodes.len() - 1)
    }

    /// A named input of the network.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> Var {
        self.push(Op::Input(name.to_owned()), shape.to_vec())
    }

    /// Values that never change, row by row.
    pub fn constant(&mut self, shape: &[usize], values: &[f32]) -> Var {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "constant of shape {shape:?}");
        self.push(Op::Constant(values.into()), shape.to_vec())
    }

    /// A constant without axes; equal ones are kept once.
    pub fn scalar(&mut self, value: f32) -> Var {
        if let Some(&known) = self.scalars.get(&value.to_bits()) {
            return known;
        }
        let var = self.constant(&[], &[value]);
        self.scalars.insert(value.to_bits(), var);
        var
    }

    /// Uniform noise in -0.5..0.5, drawn anew in each run from a seed that depends on the graph only.
    pub fn noise(&mut self, shape: &[usize]) -> Var {
        // Each source gets another seed, or parameters and embeddings would be moved alike.
        self.noises += 1;
        self.push(Op::Noise(self.noises), shape.to_vec())
    }

    fn unary(&mut self, f: Unary, x: Var) -> Var {
        let shape = self.shape(x).to_vec();
        self.push(Op::Unary(f, x), shape)
    }

    fn binary(&mut self, f: Binary, a: Var, b: Var) -> Var {
        let shape = broadcast(self.shape(a), self.shape(b));
        self.push(Op::Binary(f, a, b), shape)
    }

    /// `-x`.
    pub fn neg(&mut self, x: Var) -> Var {
        self.unary(Unary::Neg, x)
    }

    /// `|x|`; the gradient at 0 is 0.
    pub fn abs(&mut self, x: Var) -> Var {
        self.unary(Unary::Abs, x)
    }

    /// -1, 0 or 1; has no gradient.
    pub fn sign(&mut self, x: Var) -> Var {
        self.unary(Unary::Sign, x)
    }

    /// The square root.
    pub fn sqrt(&mut self, x: Var) -> Var {
        self.unary(Unary::Sqrt, x)
    }

    /// e to the power of `x`.
    pub fn exp(&mut self, x: Var) -> Var {
        self.unary(Unary::Exp, x)
    }

    /// The natural logarithm.
    pub fn log(&mut self, x: Var) -> Var {
        self.unary(Unary::Log, x)
    }

    /// The sine.
    pub fn sin(&mut self, x: Var) -> Var {
        self.unary(Unary::Sin, x)
    }

    /// The cosine.
    pub fn cos(&mut self, x: Var) -> Var {
        self.unary(Unary::Cos, x)
    }

    /// The hyperbolic tangent.
    pub fn tanh(&mut self, x: Var) -> Var {
        self.unary(Unary::Tanh, x)
    }

    /// The error function.
    pub fn erf(&mut self, x: Var) -> Var {
        self.unary(Unary::Erf, x)
    }

    /// `max(x, 0)`.
    pub fn relu(&mut self, x: Var) -> Var {
        self.unary(Unary::Relu, x)
    }

    /// The exact Gaussian error linear unit.
    pub fn gelu(&mut self, x: Var) -> Var {
        self.unary(Unary::Gelu, x)
    }

    /// `x * x`.
    pub fn square(&mut self, x: Var) -> Var {
        self.unary(Unary::Square, x)
    }

    /// Rounds half to even, with the gradient of the identity.
    pub fn round_straight_through(&mut self, x: Var) -> Var {
        self.unary(Unary::Round, x)
    }

    /// `max(x, low)`.
    pub fn at_least(&mut self, x: Var, low: f32) -> Var {
        // Made of `Relu`, whose gradient is known; `Max` or `Clip` would be one more operator to differentiate.
        let low = self.scalar(low);
        let above = self.sub(x, low);
        let above = self.relu(above);
        self.add(above, low)
    }

    /// `a + b`, with broadcasting as in NumPy.
    pub fn add(&mut self, a: Var, b: Var) -> Var {
        self.binary(Binary::Add, a, b)
    }

    /// `a - b`.
    pub fn sub(&mut self, a: Var, b: Var) -> Var {
        self.binary(Binary::Sub, a, b)
    }

    /// `a * b`.
    pub fn mul(&mut self, a: Var, b: Var) -> Var {
        self.binary(Binary::Mul, a, b)
    }

    /// `a / b`.
    pub fn div(&mut self, a: Var, b: Var) -> Var {
        self.binary(Binary::Div, a, b)
    }

    /// `a * factor`.
    pub fn scale(&mut self, a: Var, factor: f32) -> Var {
        let factor = self.scalar(factor);
        self.mul(a, factor)
    }

    /// `a + term`.
    pub fn offset(&mut self, a: Var, term: f32) -> Var {
        let term = self.scalar(term);
        self.add(a, term)
    }

    /// Sums over axes and keeps them with size 1.
    pub fn sum(&mut self, x: Var, axes: &[usize]) -> Var {
        let mut shape = self.shape(x).to_vec();
        axes.iter().for_each(|&a| shape[a] = 1);
        self.sum_to(x, shape)
    }

    /// The mean over axes, which stay with size 1.
    pub fn mean(&mut self, x: Var, axes: &[usize]) -> Var {
        let count: usize = axes.iter().map(|&a| self.shape(x)[a]).product();
        let sum = self.sum(x, axes);
        // A sum and a product, so that no mean has to be differentiated.
        self.scale(sum, 1.0 / count as f32)
    }

    /// The mean over everything, a scalar.
    pub fn mean_all(&mut self, x: Var) -> Var {
        let axes: Vec<usize> = (0..self.shape(x).len()).collect();
        let mean = self.mean(x, &axes);
        self.reshape(mean, &[])
    }

    /// The sum over everything, a scalar.
    pub fn sum_all(&mut self, x: Var) -> Var {
        let axes: Vec<usize> = (0..self.shape(x).len()).collect();
        let sum = self.sum(x, &axes);
        self.reshape(sum, &[])
    }

    fn sum_to(&mut self, x: Var, shape: Vec<usize>) -> Var {
        // What changes nothing adds no node; callers need not think of special cases.
        if self.shape(x) == shape {
            return x;
        }
        self.push(Op::Sum(x), shape)
    }

    /// Repeats axes of size 1.
    pub fn expand(&mut self, x: Var, shape: &[usize]) -> Var {
        if self.shape(x) == shape {
            return x;
        }
        assert_eq!(broadcast(self.shape(x), shape), shape, "expand");
        self.push(Op::Expand(x), shape.to_vec())
    }

    /// The same values in another shape.
    pub fn reshape(&mut self, x: Var, shape: &[usize]) -> Var {
        if self.shape(x) == shape {
            return x;
        }
        let count = |s: &[usize]| s.iter().product::<usize>();
        assert_eq!(count(self.shape(x)), count(shape), "{:?} to {shape:?}", self.shape(x));
        self.push(Op::Reshape(x), shape.to_vec())
    }

    /// Permutes the axes: axis `i` of the result is axis `order[i]` of `x`.
    pub fn transpose(&mut self, x: Var, order: &[usize]) -> Var {
        let shape = order.iter().map(|&a| self.shape(x)[a]).collect();
        self.push(Op::Transpose(x, order.to_vec()), shape)
    }

    /// A part: from `starts`, of the size `shape`.
    pub fn slice(&mut self, x: Var, starts: &[usize], shape: &[usize]) -> Var {
        if self.shape(x) == shape {
            return x;
        }
        let fits = starts.iter().zip(shape).zip(self.shape(x)).all(|((&a, &n), &all)| a + n <= all);
        assert!(fits && starts.len() == self.shape(x).len(), "{starts:?}+{shape:?} of {:?}", self.shape(x));
        self.push(Op::Slice(x, starts.to_vec()), shape.to_vec())
    }

    /// Reverses the order along axes.
    pub fn flip(&mut self, x: Var, axes: &[usize]) -> Var {
        let shape = self.shape(x).to_vec();
        self.push(Op::Flip(x, axes.to_vec()), shape)
    }

    /// Puts zeros around: `before` on each axis, and as many behind as make it `shape`.
    pub fn pad(&mut self, x: Var, before: &[usize], shape: &[usize]) -> Var {
        if self.shape(x) == shape {
            return x;
        }
        let fits = before.iter().zip(shape).zip(self.shape(x)).all(|((&b, &n), &own)| b + own <= n);
        assert!(fits && before.len() == shape.len(), "{:?} into {shape:?}", self.shape(x));
        self.push(Op::Pad(x, before.to_vec()), shape.to_vec())
    }

    /// Joins along an axis.
    pub fn concat(&mut self, parts: &[Var], axis: usize) -> Var {
        let mut shape = self.shape(parts[0]).to_vec();
        shape[axis] = parts.iter().map(|&p| self.shape(p)[axis]).sum();
        if parts.len() == 1 {
            return parts[0];
        }
        self.push(Op::Concat(parts.to_vec(), axis), shape)
    }

    /// The matrix product over the last two axes; leading axes are broadcast.
    pub fn matmul(&mut self, a: Var, b: Var) -> Var {
        let (x, y) = (self.shape(a), self.shape(b));
        let (i, j) = (x.len() - 2, y.len() - 2);
        assert_eq!(x[i + 1], y[j], "{x:?} by {y:?}");
        let mut shape = broadcast(&x[..i], &y[..j]);
        shape.extend([x[i], y[j + 1]]);
        self.push(Op::MatMul(a, b), shape)
    }

    /// A convolution of stride 1; `pads` are zeros at the top, left, bottom and right.
    pub fn conv(&mut self, x: Var, w: Var, bias: Option<Var>, pads: [usize; 4]) -> Var {
        let (i, k) = (self.shape(x), self.shape(w));
        assert!(i.len() == 4 && k.len() == 4 && i[1] == k[1], "{i:?} by {k:?}");
        let shape =
            vec![i[0], k[0], i[2] + pads[0] + pads[2] + 1 - k[2], i[3] + pads[1] + pads[3] + 1 - k[3]];
        self.push(Op::Conv(x, w, bias, pads), shape)
    }

    /// Cross-correlation of each channel of `x` [n, c, rows, columns] with its own kernel in `w` [c, 1, rows, columns], which
    /// is a constant: no gradient is taken with respect to it. Runtimes are fast where c is a multiple of 16.
    pub fn depthwise(&mut self, x: Var, w: Var, pads: [usize; 4]) -> Var {
        let (i, k) = (self.shape(x), self.shape(w));
        assert!(i.len() == 4 && k.len() == 4 && i[1] == k[0] && k[1] == 1, "{i:?} by {k:?}");
        let shape =
            vec![i[0], i[1], i[2] + pads[0] + pads[2] + 1 - k[2], i[3] + pads[1] + pads[3] + 1 - k[3]];
        self.push(Op::Depthwise(x, w, pads), shape)
    }

    /// A convolution whose output is as large as its input; for odd kernels.
    pub fn conv_same(&mut self, x: Var, w: Var, bias: Option<Var>) -> Var {
        let (top, left) = (self.shape(w)[2] / 2, self.shape(w)[3] / 2);
        self.conv(x, w, bias, [top, left, top, left])
    }

    /// Pixel shuffle: `[1, b*b*C, H, W]` to `[1, C, b*H, b*W]`; the row and column in the block are the slowest parts of
    /// the channel (the order that ONNX calls DCR).
    ///
    /// ```
    /// let mut g = siskin_graph::Graph::new();
    /// let x = g.input("x", &[1, 12, 4, 6]);
    /// let y = g.depth_to_space(x, 2);
    /// assert_eq!(g.shape(y), [1, 3, 8, 12]);
    /// ```
    pub fn depth_to_space(&mut self, x: Var, block: usize) -> Var {
        // From a network's third stage on every second block does not enlarge.
        if block == 1 {
            return x;
        }
        let s = self.shape(x);
        let shape = vec![s[0], s[1] / (block * block), s[2] * block, s[3] * block];
        self.push(Op::DepthToSpace(x, block), shape)
    }

    /// The reverse of [`Graph::depth_to_space`].
    pub fn space_to_depth(&mut self, x: Var, block: usize) -> Var {
        if block == 1 {
            return x;
        }
        let s = self.shape(x);
        let shape = vec![s[0], s[1] * block * block, s[2] / block, s[3] / block];
        self.push(Op::SpaceToDepth(x, block), shape)
    }

    /// `x * scale + shift` for an image `[n, c, h, w]` and vectors `[c]`, in one pass; has no gradient.
    pub fn scale_shift(&mut self, x: Var, scale: Var, shift: Var) -> Var {
        let shape = self.shape(x).to_vec();
        assert!(self.shape(scale) == [shape[1]] && self.shape(shift) == [shape[1]], "a number a channel");
        self.push(Op::ScaleShift(x, scale, shift), shape)
    }

    /// Exponentials along the last axis as shares of their sum.
    pub fn softmax(&mut self, x: Var) -> Var {
        let shape = self.shape(x).to_vec();
        self.push(Op::Softmax(x), shape)
    }

    /// Means of 2 by 2 values of an image `[1, C, H, W]` of even sides.
    pub fn halve(&mut self, x: Var) -> Var {
        let s = self.shape(x);
        assert!(s.len() == 4 && s[2].is_multiple_of(2) && s[3].is_multiple_of(2), "halves of {s:?}");
        let shape = vec![s[0], s[1], s[2] / 2, s[3] / 2];
        self.push(Op::Halve(x), shape)
    }

    /// An image `[1, C, H, W]` with each value twice along rows and columns.
    pub fn double(&mut self, x: Var) -> Var {
        let s = self.shape(x);
        let shape = vec![s[0], s[1], 2 * s[2], 2 * s[3]];
        self.push(Op::Double(x), shape)
    }

    /// Sums consecutive runs of these lengths: `[P]` to one value a run.
    pub fn segment_sum(&mut self, x: Var, lengths: &[usize]) -> Var {
        assert_eq!(self.shape(x), [lengths.iter().sum::<usize>()]);
        self.push(Op::SegmentSum(x, lengths.to_vec()), vec![lengths.len()])
    }

    /// Repeats each value as often as its run is long: the reverse of [`Graph::segment_sum`].
    pub fn segment_expand(&mut self, x: Var, lengths: &[usize]) -> Var {
        assert_eq!(self.shape(x), [lengths.len()]);
        self.push(Op::SegmentExpand(x, lengths.to_vec()), vec![lengths.iter().sum()])
    }
}

/// The shape that two shapes have together.
fn broadcast(a: &[usize], b: &[usize]) -> Vec<usize> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => x,
            (1, n) | (n, 1) => n,
            _ => unreachable!("shapes {a:?} and {b:?} do not fit"),
        })
        .collect()
}
