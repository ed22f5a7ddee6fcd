//! A graph as the bytes of an ONNX model of standard operators.

use std::collections::HashMap;

use prost::Message;

use super::grad::operands;
use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
};
use super::{Binary, Graph, Op, Unary, Var};

/// Version of the operator set, that of ONNX 1.15; `Gelu` came with it.
// Newer sets would shut out older ONNX Runtimes for nothing.
pub(super) const OPSET: i64 = 20;
/// Version of the file format that belongs to it.
pub(super) const IR_VERSION: i64 = 9;

impl Graph {
    /// Writes the part of the graph that `outputs` need. Inputs that nothing needs are left out.
    pub fn to_onnx(&self, name: &str, outputs: &[(&str, Var)]) -> Vec<u8> {
        // Differentiation leaves nodes that nothing uses. ONNX Runtime would drop them too, but only after it has
        // read and checked them.
        let mut needed = vec![false; self.nodes.len()];
        outputs.iter().for_each(|(_, v)| needed[v.0] = true);
        // Operands always have smaller numbers, so one pass backward finds all.
        for id in (0..self.nodes.len()).rev() {
            if needed[id] {
                operands(&self.nodes[id].op).iter().for_each(|o| needed[o.0] = true);
            }
        }
        let mut emitter = Emitter::new(self, name);
        for id in (0..self.nodes.len()).filter(|&id| needed[id]) {
            emitter.emit(id);
        }
        for &(name, value) in outputs {
            // A value may be an output under several names, or an input; the runtime removes the copies.
            emitter.node("Identity", vec![of(value)], name.to_owned(), vec![]);
            emitter.graph.output.push(ValueInfoProto::float(name, self.shape(value)));
        }
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "siskin".into(),
            graph: Some(emitter.graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        };
        model.encode_to_vec()
    }
}

/// The name of a value.
fn of(x: Var) -> String {
    format!("v{}", x.0)
}

struct Emitter<'a> {
    source: &'a Graph,
    graph: GraphProto,
    // Shapes and axes recur hundreds of times in a training step, and each would be a tensor of its own.
    integers: HashMap<Vec<i64>, String>,
    extra: usize,
}

impl<'a> Emitter<'a> {
    fn new(source: &'a Graph, name: &str) -> Self {
        let graph = GraphProto { name: name.into(), ..Default::default() };
        Self { source, graph, integers: HashMap::new(), extra: 0 }
    }

    fn node(&mut self, op_type: &str, input: Vec<String>, output: String, attribute: Vec<AttributeProto>) {
        let name = output.clone();
        let node = NodeProto { input, output: vec![output], name, op_type: op_type.into(), attribute };
        self.graph.node.push(node);
    }

    /// A value between nodes that has no [`Var`].
    // Names begin with `t`, those of values with `v`, so they cannot meet.
    fn between(&mut self, op_type: &str, input: Vec<String>, attribute: Vec<AttributeProto>) -> String {
        self.extra += 1;
        let name = format!("t{}", self.extra);
        self.node(op_type, input, name.clone(), attribute);
        name
    }

    fn integers(&mut self, values: Vec<i64>) -> String {
        if let Some(known) = self.integers.get(&values) {
            return known.clone();
        }
        let name = format!("i{}", self.integers.len());
        self.graph.initializer.push(TensorProto::int64s(name.clone(), &values));
        self.integers.insert(values, name.clone());
        name
    }

    /// A constant vector that is written once.
    fn floats(&mut self, name: &str, values: &[f32]) -> String {
        if self.graph.initializer.iter().all(|t| t.name != name) {
            self.graph.initializer.push(TensorProto::floats(name.into(), &[values.len()], values));
        }
        name.into()
    }

    fn sizes(&mut self, values: &[usize]) -> String {
        self.integers(values.iter().map(|&v| v as i64).collect())
    }

    fn emit(&mut self, id: usize) {
        let source = self.source;
        let node = &source.nodes[id];
        let (shape, out) = (&node.shape, of(Var(id)));
        match &node.op {
            Op::Input(name) => {
                self.graph.input.push(ValueInfoProto::float(name, shape));
                self.node("Identity", vec![name.clone()], out, vec![]);
            }
            Op::Constant(values) => self.graph.initializer.push(TensorProto::floats(out, shape, values)),
            Op::Noise(seed) => {
                let attributes = vec![
                    AttributeProto::ints("shape", shape.iter().map(|&d| d as i64)),
                    AttributeProto::float("low", -0.5),
                    AttributeProto::float("high", 0.5),
                    // A fixed seed: the noise is new in each run of a session, and the same from one fit to the next.
                    AttributeProto::float("seed", *seed as f32),
                ];
                self.node("RandomUniform", vec![], out, attributes);
            }
            // Every provider has a fast kernel for products.
            Op::Unary(Unary::Square, x) => self.node("Mul", vec![of(*x), of(*x)], out, vec![]),
            Op::Unary(f, x) => self.node(unary_name(*f), vec![of(*x)], out, vec![]),
            Op::Binary(f, a, b) => self.node(binary_name(*f), vec![of(*a), of(*b)], out, vec![]),
            Op::Sum(x) => {
                let from = source.shape(*x);
                // Axes of size 1 are left out, whose sum changes nothing.
                let axes = (0..shape.len()).filter(|&a| shape[a] != from[a]).map(|a| a as i64).collect();
                let axes = self.integers(axes);
                self.node("ReduceSum", vec![of(*x), axes], out, vec![AttributeProto::int("keepdims", 1)]);
            }
            Op::Expand(x) => {
                let to = self.sizes(shape);
                self.node("Expand", vec![of(*x), to], out, vec![]);
            }
            Op::Reshape(x) => {
                let to = self.sizes(shape);
                self.node("Reshape", vec![of(*x), to], out, vec![]);
            }
            Op::Transpose(x, order) => {
                let order = AttributeProto::ints("perm", order.iter().map(|&a| a as i64));
                self.node("Transpose", vec![of(*x)], out, vec![order]);
            }
            Op::Slice(x, starts) => {
                let from = source.shape(*x);
                let axes: Vec<usize> = (0..shape.len()).filter(|&a| shape[a] != from[a]).collect();
                let input = self.slice_inputs(of(*x), &axes, |a| starts[a], |a| starts[a] + shape[a]);
                self.node("Slice", input, out, vec![]);
            }
            Op::Flip(x, axes) => {
                let starts = self.integers(axes.iter().map(|&a| shape[a] as i64 - 1).collect());
                // ONNX's way to say "down to and with the first": -1 would count from the end.
                let ends = self.integers(vec![i64::MIN; axes.len()]);
                let which = self.sizes(axes);
                let steps = self.integers(vec![-1; axes.len()]);
                self.node("Slice", vec![of(*x), starts, ends, which, steps], out, vec![]);
            }
            Op::Pad(x, before) => {
                let from = source.shape(*x);
                let behind = (0..shape.len()).map(|a| (shape[a] - from[a] - before[a]) as i64);
                let pads = before.iter().map(|&b| b as i64).chain(behind).collect();
                let pads = self.integers(pads);
                self.node("Pad", vec![of(*x), pads], out, vec![]);
            }
            Op::Concat(parts, axis) => {
                let axis = AttributeProto::int("axis", *axis as i64);
                self.node("Concat", parts.iter().map(|&p| of(p)).collect(), out, vec![axis]);
            }
            Op::MatMul(a, b) => self.node("MatMul", vec![of(*a), of(*b)], out, vec![]),
            Op::Conv(x, w, bias, pads) => {
                let kernel = source.shape(*w)[2..].iter().map(|&k| k as i64);
                let attributes = vec![
                    AttributeProto::ints("kernel_shape", kernel),
                    AttributeProto::ints("pads", pads.iter().map(|&p| p as i64)),
                ];
                let input = [*x, *w].into_iter().chain(*bias).map(of).collect();
                self.node("Conv", input, out, attributes);
            }
            Op::Depthwise(x, w, pads) => {
                let kernel = source.shape(*w);
                let attributes = vec![
                    AttributeProto::int("group", kernel[0] as i64),
                    AttributeProto::ints("kernel_shape", kernel[2..].iter().map(|&k| k as i64)),
                    AttributeProto::ints("pads", pads.iter().map(|&p| p as i64)),
                ];
                self.node("Conv", vec![of(*x), of(*w)], out, attributes);
            }
            Op::ConvWeight(x, g, pads) => self.conv_weight(*x, *g, *pads, shape, out),
            Op::DepthToSpace(x, block) => self.depth_to_space(*x, *block, shape, out),
            Op::SpaceToDepth(x, block) => {
                let block = AttributeProto::int("blocksize", *block as i64);
                self.node("SpaceToDepth", vec![of(*x)], out, vec![block]);
            }
            Op::ScaleShift(x, scale, shift) => {
                // A normalisation by a mean of 0 and a deviation of 1; cuDNN wants an epsilon of that size.
                let (channels, epsilon) = (shape[1], 1e-5);
                let mean = self.floats(&format!("zeros{channels}"), &vec![0.0; channels]);
                let variance = self.floats(&format!("ones{channels}"), &vec![1.0 - epsilon; channels]);
                let input = vec![of(*x), of(*scale), of(*shift), mean, variance];
                // One pass over the features in place of a product and a sum, which made decoding of fits a tenth
                // faster.
                let epsilon = AttributeProto::float("epsilon", epsilon);
                self.node("BatchNormalization", input, out, vec![epsilon]);
            }
            Op::Softmax(x) => {
                let last = AttributeProto::int("axis", -1);
                self.node("Softmax", vec![of(*x)], out, vec![last]);
            }
            Op::Halve(x) => {
                let two = |name| AttributeProto::ints(name, [2, 2]);
                self.node("AveragePool", vec![of(*x)], out, vec![two("kernel_shape"), two("strides")]);
            }
            Op::Double(x) => {
                let mode = AttributeProto::string("mode", "nearest");
                // With `floor` this repeats each value exactly; the default would shift by half a sample.
                let place = AttributeProto::string("coordinate_transformation_mode", "asymmetric");
                let round = AttributeProto::string("nearest_mode", "floor");
                let scales = self.floats("twice", &[1.0, 1.0, 2.0, 2.0]);
                // The empty name skips the optional region of interest.
                self.node("Resize", vec![of(*x), String::new(), scales], out, vec![mode, place, round]);
            }
            Op::SegmentSum(x, lengths) => {
                // One `Split` for all runs, in place of a `Slice` with three more inputs for each.
                let parts = self.split(of(*x), lengths);
                let axes = self.integers(vec![0]);
                let keep = vec![AttributeProto::int("keepdims", 1)];
                let sums = parts
                    .into_iter()
                    .map(|p| self.between("ReduceSum", vec![p, axes.clone()], keep.clone()))
                    .collect();
                self.node("Concat", sums, out, vec![AttributeProto::int("axis", 0)]);
            }
            Op::SegmentExpand(x, lengths) => {
                let parts = self.split(of(*x), &vec![1; lengths.len()]);
                let mut runs = Vec::with_capacity(parts.len());
                for (part, &length) in parts.into_iter().zip(lengths) {
                    let length = self.sizes(&[length]);
                    runs.push(self.between("Expand", vec![part, length], vec![]));
                }
                self.node("Concat", runs, out, vec![AttributeProto::int("axis", 0)]);
            }
        }
    }

    /// Cuts a vector into runs of these lengths.
    fn split(&mut self, x: String, lengths: &[usize]) -> Vec<String> {
        let sizes = self.sizes(lengths);
        let first = self.extra + 1;
        self.extra += lengths.len();
        let output: Vec<String> = (first..=self.extra).map(|i| format!("t{i}")).collect();
        let axis = vec![AttributeProto::int("axis", 0)];
        let name = format!("{x}_split{first}");
        let (input, op_type) = (vec![x, sizes], "Split".into());
        self.graph.node.push(NodeProto { input, output: output.clone(), name, op_type, attribute: axis });
        output
    }

    fn slice_inputs(
        &mut self,
        x: String,
        axes: &[usize],
        start: impl Fn(usize) -> usize,
        end: impl Fn(usize) -> usize,
    ) -> Vec<String> {
        let starts = self.sizes(&axes.iter().map(|&a| start(a)).collect::<Vec<_>>());
        let ends = self.sizes(&axes.iter().map(|&a| end(a)).collect::<Vec<_>>());
        let which = self.sizes(axes);
        vec![x, starts, ends, which]
    }

    /// Pixel shuffle as two permutations, columns first: three times faster than the operator of that name.
    fn depth_to_space(&mut self, x: Var, block: usize, shape: &[usize], out: String) {
        let from = self.source.shape(x);
        let (images, channels, rows, columns) = (from[0], shape[1], from[2], from[3]);
        let permutation = |order: [i64; 5]| vec![AttributeProto::ints("perm", order)];
        let apart = self.sizes(&[block, block, images * channels, rows, columns]);
        // Steps are one frame, so no graph has more.
        assert_eq!(images, 1, "one image at a time");
        let apart = self.between("Reshape", vec![of(x), apart], vec![]);
        // First the block's columns go beside those of the image, then whole rows are interleaved.
        let wide = self.between("Transpose", vec![apart], permutation([0, 2, 3, 4, 1]));
        let lines = self.sizes(&[block, channels, rows, columns * block]);
        let lines = self.between("Reshape", vec![wide, lines], vec![]);
        let order = vec![AttributeProto::ints("perm", [1, 2, 0, 3])];
        let lines = self.between("Transpose", vec![lines], order);
        let shape = self.sizes(shape);
        self.node("Reshape", vec![lines, shape], out, vec![]);
    }

    /// The gradient of a convolution's weights, for one image: one matrix product.
    ///
    /// A convolution with a kernel as large as the image would be the textbook way and is several times slower. Instead
    /// input and output's gradient are padded to the same pitch and laid down once for each shift, by rows, by columns or by
    /// both: the product of all shifts of the one by all shifts of the other sums over all places. What a shift wraps from
    /// one row or plane into the next meets zeros of the gradient.
    fn conv_weight(&mut self, x: Var, g: Var, pads: [usize; 4], shape: &[usize], out: String) {
        let (from, to) = (self.source.shape(x).to_vec(), self.source.shape(g).to_vec());
        assert_eq!(from[0], 1, "one image at a time");
        let (co, ci, kh, kw) = (shape[0], shape[1], shape[2], shape[3]);
        // Both images get rows of the same length, so that one shift in memory is the same shift in both.
        let pitch = from[3] + pads[1] + pads[3];
        let length = (to[2] + kh - 1) * pitch;
        let columns: Vec<usize> = (0..kw).collect();
        let rows: Vec<usize> = (0..kh).map(|r| r * pitch).collect();
        let both: Vec<usize> = rows.iter().flat_map(|r| columns.iter().map(move |c| r + c)).collect();
        // What has fewer channels by far is laid down for every tap, which is less to copy.
        let (of_x, of_g) = match both.len() {
            taps if taps * ci + co < kw * ci + kh * co => (both, vec![0]),
            taps if taps * co + ci < kw * ci + kh * co => (vec![0], both),
            _ => (columns, rows),
        };
        // A shift of the input to the right takes its gradient from the taps on the right first.
        let most = of_x.last().map_or([0, 0], |&s| [s / pitch, s % pitch]);
        let down = [most[0], most[1], kh - 1 - most[0], kw - 1 - most[1]];
        let g = self.shifted(of(g), down, &of_g, [co, length]);
        let x = self.shifted(of(x), pads, &of_x, [ci, length]);
        // `Gemm` takes the transposed factor as it lies in memory; `MatMul` would need a `Transpose` first.
        let mut product = self.between("Gemm", vec![g, x], vec![AttributeProto::int("transB", 1)]);
        let size = [of_g.len() * co, of_x.len() * ci];
        if of_g.len() + of_x.len() > 2 {
            let input = self.slice_inputs(product, &[0, 1], |_| 0, |a| size[a]);
            product = self.between("Slice", input, vec![]);
        }
        let apart = self.sizes(&[of_g.len(), co, of_x.len(), ci]);
        let apart = self.between("Reshape", vec![product, apart], vec![]);
        // From shifts by channels to `[output, input, row, column]`.
        let order = vec![AttributeProto::ints("perm", [1, 3, 0, 2])];
        let mut taps = self.between("Transpose", vec![apart], order);
        if of_x.len() > 1 {
            let (start, end) = (self.integers(vec![-1]), self.integers(vec![i64::MIN]));
            let (axis, back) = (self.integers(vec![3]), self.integers(vec![-1]));
            taps = self.between("Slice", vec![taps, start, end, axis, back], vec![]);
        }
        let shape = self.sizes(shape);
        self.node("Reshape", vec![taps, shape], out, vec![]);
    }

    /// An image `[1, channels, rows, columns]`, padded to planes of `length` values, once for each of these shifts to the
    /// right: a matrix of a row a plane. With more than one shift there is one row more, of zeros.
    fn shifted(
        &mut self,
        x: String,
        [top, left, bottom, right]: [usize; 4],
        shifts: &[usize],
        [channels, length]: [usize; 2],
    ) -> String {
        let around = self.sizes(&[0, 0, top, left, 0, 0, bottom, right]);
        let padded = self.between("Pad", vec![x, around], vec![]);
        let [_] = shifts else {
            let flat = self.sizes(&[channels * length]);
            let flat = self.between("Reshape", vec![padded, flat], vec![]);
            let ends = shifts.iter().skip(1).copied().chain([length]);
            let gaps = shifts.iter().zip(ends).map(|(&shift, next)| next - shift);
            let parts = gaps.flat_map(|gap| [flat.clone(), self.zeros(gap)]).collect();
            // Gaps of zeros between copies shift each by its own amount: no `Pad` for each. The gaps add up to the
            // one row more.
            let joined = self.between("Concat", parts, vec![AttributeProto::int("axis", 0)]);
            let shape = self.sizes(&[shifts.len() * channels + 1, length]);
            return self.between("Reshape", vec![joined, shape], vec![]);
        };
        let shape = self.sizes(&[channels, length]);
        self.between("Reshape", vec![padded, shape], vec![])
    }

    fn zeros(&mut self, count: usize) -> String {
        self.floats(&format!("zeros{count}"), &vec![0.0; count])
    }
}

fn unary_name(f: Unary) -> &'static str {
    match f {
        Unary::Neg => "Neg",
        Unary::Abs => "Abs",
        Unary::Sign => "Sign",
        Unary::Sqrt => "Sqrt",
        Unary::Exp => "Exp",
        Unary::Log => "Log",
        Unary::Sin => "Sin",
        Unary::Cos => "Cos",
        Unary::Tanh => "Tanh",
        Unary::Erf => "Erf",
        Unary::Relu => "Relu",
        Unary::Gelu => "Gelu",
        Unary::Square => "Mul",
        Unary::Round => "Round",
    }
}

fn binary_name(f: Binary) -> &'static str {
    match f {
        Binary::Add => "Add",
        Binary::Sub => "Sub",
        Binary::Mul => "Mul",
        Binary::Div => "Div",
    }
}
