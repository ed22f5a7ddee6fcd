/// The type of codes in a file: 16 bits hold every code, but not every framework computes with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CodeType {
    /// 16 bits without a sign, the default.
    #[default]
    U16,
    /// 32 bits with a sign.
    I32,
    /// 64 bits with a sign, what embeddings of PyTorch take.
    I64,
}

impl CodeType {
    /// All types.
    pub const ALL: [Self; 3] = [Self::U16, Self::I32, Self::I64];

    /// The name that NumPy has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::U16 => "uint16",
            Self::I32 => "int32",
            Self::I64 => "int64",
        }
    }

    /// The type of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }

    /// Codes in little-endian order.
    pub(crate) fn to_bytes(self, codes: &[u16]) -> Vec<u8> {
        match self {
            Self::U16 => codes.iter().flat_map(|c| c.to_le_bytes()).collect(),
            Self::I32 => codes.iter().flat_map(|&c| i32::from(c).to_le_bytes()).collect(),
            Self::I64 => codes.iter().flat_map(|&c| i64::from(c).to_le_bytes()).collect(),
        }
    }
}
