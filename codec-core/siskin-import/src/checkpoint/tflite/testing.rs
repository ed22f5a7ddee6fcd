//! Files of TensorFlow Lite, written by the numbers that the schema gives fields.

use flatbuffers::{FlatBufferBuilder, Push, TableFinishedWIPOffset, UnionWIPOffset, WIPOffset};

type Table = WIPOffset<TableFinishedWIPOffset>;

/// A file that is being written.
#[derive(Default)]
pub(crate) struct File {
    builder: FlatBufferBuilder<'static>,
    buffers: Vec<Table>,
    tensors: Vec<Table>,
    codes: Vec<i32>,
    operators: Vec<Table>,
}

/// A field of a table.
enum Field {
    Byte(u8),
    Int(i32),
    Float(f32),
    At(WIPOffset<UnionWIPOffset>),
}

impl File {
    pub(crate) fn new() -> Self {
        let mut file = Self::default();
        // Buffer 0 is the empty one of tensors that are computed.
        let empty = file.table(&[]);
        file.buffers.push(empty);
        file
    }

    fn table(&mut self, fields: &[(u16, Field)]) -> Table {
        let start = self.builder.start_table();
        for (number, field) in fields {
            let slot = 4 + 2 * number;
            match field {
                Field::Byte(x) => self.builder.push_slot_always(slot, *x),
                Field::Int(x) => self.builder.push_slot_always(slot, *x),
                Field::Float(x) => self.builder.push_slot_always(slot, *x),
                Field::At(x) => self.builder.push_slot_always(slot, *x),
            }
        }
        self.builder.end_table(start)
    }

    fn vector<T: Push + Copy + 'static>(&mut self, values: &[T]) -> Field {
        Field::At(self.builder.create_vector(values).as_union_value())
    }

    fn tables(&mut self, tables: &[Table]) -> Field {
        Field::At(self.builder.create_vector(tables).as_union_value())
    }

    fn text(&mut self, text: &str) -> Field {
        Field::At(self.builder.create_string(text).as_union_value())
    }

    /// A tensor; scales and zero point are those of integers.
    pub(crate) fn tensor(
        &mut self,
        shape: &[i32],
        element: u8,
        data: &[u8],
        scales: &[f32],
        zero: i64,
    ) -> i32 {
        let mut buffer = 0;
        if !data.is_empty() {
            let data = self.vector(data);
            let table = self.table(&[(0, data)]);
            buffer = self.buffers.len() as i32;
            self.buffers.push(table);
        }
        let number = self.tensors.len() as i32;
        let (shape, name) = (self.vector(shape), self.text(&format!("tensor{number}")));
        let mut fields = vec![(0, shape), (1, Field::Byte(element)), (2, Field::Int(buffer)), (3, name)];
        if !scales.is_empty() {
            let (scales, zeros) = (self.vector(scales), self.vector(&vec![zero; scales.len()]));
            let table = self.table(&[(2, scales), (3, zeros), (6, Field::Int(0))]);
            fields.push((4, Field::At(table.as_union_value())));
        }
        let table = self.table(&fields);
        self.tensors.push(table);
        number
    }

    /// A tensor of numbers that an operator computes, or a constant.
    pub(crate) fn floats(&mut self, shape: &[i32], values: &[f32]) -> i32 {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(shape, 0, &data, &[], 0)
    }

    pub(crate) fn operator(
        &mut self,
        code: i32,
        inputs: &[i32],
        outputs: &[i32],
        options: Option<(u8, Table)>,
    ) {
        let index = self.codes.iter().position(|&c| c == code).unwrap_or_else(|| {
            self.codes.push(code);
            self.codes.len() - 1
        });
        let (inputs, outputs) = (self.vector(inputs), self.vector(outputs));
        let mut fields = vec![(0, Field::Int(index as i32)), (1, inputs), (2, outputs)];
        if let Some((kind, table)) = options {
            fields.extend([(3, Field::Byte(kind)), (4, Field::At(table.as_union_value()))]);
        }
        let table = self.table(&fields);
        self.operators.push(table);
    }

    /// A convolution without padding.
    pub(crate) fn conv(&mut self, inputs: [i32; 3], stride: i32, output: i32) {
        let options = self.table(&[(0, Field::Byte(1)), (1, Field::Int(1)), (2, Field::Int(stride))]);
        self.operator(3, &inputs, &[output], Some((1, options)));
    }

    /// A filter for each channel, without padding.
    pub(crate) fn depthwise(&mut self, inputs: [i32; 3], dilation: i32, output: i32) {
        let one = |n| (n, Field::Int(1));
        let options = self.table(&[(0, Field::Byte(1)), one(1), one(2), one(3), (6, Field::Int(dilation))]);
        self.operator(4, &inputs, &[output], Some((2, options)));
    }

    /// A transposed convolution without padding; the first input is the output's shape.
    pub(crate) fn conv_transpose(&mut self, inputs: [i32; 4], stride: i32, output: i32) {
        let options = self.table(&[(0, Field::Byte(1)), (1, Field::Int(1)), (2, Field::Int(stride))]);
        self.operator(67, &inputs, &[output], Some((49, options)));
    }

    pub(crate) fn add(&mut self, inputs: [i32; 2], output: i32) {
        let options = self.table(&[(0, Field::Byte(0))]);
        self.operator(0, &inputs, &[output], Some((11, options)));
    }

    pub(crate) fn subtract(&mut self, inputs: [i32; 2], output: i32) {
        let options = self.table(&[(0, Field::Byte(0))]);
        self.operator(41, &inputs, &[output], Some((28, options)));
    }

    pub(crate) fn concat(&mut self, inputs: &[i32], axis: i32, output: i32) {
        let options = self.table(&[(0, Field::Int(axis))]);
        self.operator(2, inputs, &[output], Some((10, options)));
    }

    /// The samples from `from` to the end, or from the start if it is 0.
    pub(crate) fn slice(&mut self, input: i32, from: i32, to: Option<i32>, output: i32) {
        let constant = |file: &mut Self, values: [i32; 4]| {
            let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            file.tensor(&[4], 2, &data, &[], 0)
        };
        let (begin, end) = (constant(self, [0, from, 0, 0]), constant(self, [0, to.unwrap_or(0), 0, 0]));
        let step = constant(self, [1; 4]);
        let masks = [13, if to.is_some() { 13 } else { 15 }];
        let options = self.table(&[(0, Field::Int(masks[0])), (1, Field::Int(masks[1]))]);
        self.operator(45, &[input, begin, end, step], &[output], Some((32, options)));
    }

    /// A variable's handle.
    pub(crate) fn variable(&mut self, name: &str) -> i32 {
        let handle = self.tensor(&[], 13, &[], &[], 0);
        let name = self.text(name);
        let options = self.table(&[(1, name)]);
        self.operator(142, &[], &[handle], Some((111, options)));
        handle
    }

    pub(crate) fn leaky_relu(&mut self, input: i32, output: i32, slope: f32) {
        let options = self.table(&[(0, Field::Float(slope))]);
        self.operator(98, &[input], &[output], Some((75, options)));
    }

    pub(crate) fn finish(mut self, input: i32, output: i32) -> Vec<u8> {
        let codes = self.codes.clone();
        let codes: Vec<Table> = codes
            .into_iter()
            .map(|c| self.table(&[(0, Field::Byte(c.min(127) as u8)), (3, Field::Int(c))]))
            .collect();
        let (tensors, operators) = (self.tensors.clone(), self.operators.clone());
        let (tensors, operators) = (self.tables(&tensors), self.tables(&operators));
        let (inputs, outputs) = (self.vector(&[input]), self.vector(&[output]));
        let graph = self.table(&[(0, tensors), (1, inputs), (2, outputs), (3, operators)]);
        let buffers = self.buffers.clone();
        let (codes, graphs, buffers) = (self.tables(&codes), self.tables(&[graph]), self.tables(&buffers));
        let root = self.table(&[(0, Field::Int(3)), (1, codes), (2, graphs), (4, buffers)]);
        self.builder.finish(root, Some("TFL3"));
        self.builder.finished_data().to_vec()
    }
}
