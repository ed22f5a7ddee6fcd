//! The parameters of a network in the order in which they are coded.

/// A parameter tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// The shape.
    pub shape: Vec<usize>,
    /// Inputs of one output, which sets the range of its first values.
    pub fan_in: usize,
}

impl Tensor {
    /// Values of the tensor.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The parameters of a decoder in the order in which they are coded, in groups that share a quantizer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// All tensors, in the order of the parameters.
    pub tensors: Vec<Tensor>,
    /// Parameters in each group; the groups follow one another.
    pub groups: Vec<usize>,
    /// What the last group will be made of.
    biases: Vec<Tensor>,
}

impl Layout {
    /// Parameters of all tensors.
    pub fn count(&self) -> usize {
        self.groups.iter().sum()
    }

    /// A group of these weights, each with the inputs of one output.
    pub fn add_group(&mut self, tensors: &[(&[usize], usize)]) {
        let mut count = 0;
        for &(shape, fan_in) in tensors {
            let tensor = Tensor { shape: shape.to_vec(), fan_in };
            count += tensor.count();
            self.tensors.push(tensor);
        }
        self.groups.push(count);
    }

    /// A bias, which stands behind all weights.
    pub fn add_bias(&mut self, shape: &[usize], fan_in: usize) {
        self.biases.push(Tensor { shape: shape.to_vec(), fan_in });
    }

    /// A group of one matrix and its bias.
    pub fn add_dense(&mut self, from: usize, to: usize) {
        self.add_group(&[(&[to, from], from)]);
        self.add_bias(&[to, 1], from);
    }

    /// Appends the biases as the last group.
    pub(crate) fn finish_biases(mut self) -> Self {
        // Biases are few and spread alike, so one quantizer for all costs less than a header for each.
        self.groups.push(self.biases.iter().map(Tensor::count).sum());
        self.tensors.append(&mut self.biases);
        self
    }

    /// How many of the tensors are weights.
    pub fn weight_tensors(&self) -> usize {
        // Counted back from the end, since the number of bias tensors is kept nowhere after they were appended.
        let last = self.groups.last().copied().unwrap_or_default();
        let (mut count, mut tensors) = (0, self.tensors.len());
        while count < last {
            tensors -= 1;
            count += self.tensors[tensors].count();
        }
        tensors
    }
}
