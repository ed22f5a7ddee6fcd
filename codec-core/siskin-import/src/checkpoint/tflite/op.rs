//! Operators and their options.

use super::MAX_NAME;
use super::flat::Table;

/// What an operator does, with what it needs to know beside its inputs. Distances are along the first axis after the batch,
/// which is time; all others have one element, or the operator is refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    Add,
    AssignVariable,
    CallOnce {
        graph: usize,
    },
    Concat {
        axis: i32,
    },
    Conv {
        stride: usize,
        dilation: usize,
    },
    Depthwise {
        stride: usize,
        dilation: usize,
    },
    Dequantize,
    Gather,
    LeakyRelu {
        slope: f32,
    },
    Quantize,
    ReadVariable,
    Reshape,
    Slice {
        begin_mask: i32,
        end_mask: i32,
    },
    Split,
    Sub,
    TransposedConv {
        stride: usize,
    },
    Variable {
        name: String,
    },
    /// One that no codec here needs, by its number in the schema.
    Other(i32),
}

/// Reads the options of an operator: field 4 holds them, in a table whose kind field 3 numbers.
pub(super) fn read_op(operator: &Table<'_>, code: i32, graphs: usize) -> Result<Op, String> {
    let kind = operator.u8(3)?;
    let options = |number: u8, name: &'static str| match operator.table(4, name)? {
        Some(table) if kind == number => Ok(table),
        _ => Err(format!("no {name}")),
    };
    let plain = |table: &Table<'_>, field: usize| match table.i8(field)? {
        0 => Ok(()),
        other => Err(format!("activation {other} in the operator, which no codec here has")),
    };
    // Padding 1 is none; along the axes of one element nothing moves.
    let distance = |table: &Table<'_>, [across, along]: [usize; 2], default: i32| {
        let (across, along) = (table.i32(across, default)?, table.i32(along, default)?);
        match usize::try_from(along) {
            Ok(along) if across == 1 && (1..=1024).contains(&along) => Ok(along),
            _ => Err(format!("steps {along} and {across}, allowed: 1 to 1024 and 1")),
        }
    };
    let padding = |table: &Table<'_>| match table.i8(0)? {
        1 => Ok(()),
        other => Err(format!("padding {other}, which no codec here has")),
    };
    Ok(match code {
        0 => {
            plain(&options(11, "AddOptions")?, 0)?;
            Op::Add
        }
        2 => {
            let table = options(10, "ConcatenationOptions")?;
            plain(&table, 1)?;
            Op::Concat { axis: table.i32(0, 0)? }
        }
        3 => {
            let table = options(1, "Conv2DOptions")?;
            padding(&table)?;
            plain(&table, 3)?;
            Op::Conv { stride: distance(&table, [1, 2], 0)?, dilation: distance(&table, [4, 5], 1)? }
        }
        4 => {
            let table = options(2, "DepthwiseConv2DOptions")?;
            padding(&table)?;
            plain(&table, 4)?;
            if table.i32(3, 0)? != 1 {
                return Err("several filters a channel, which no codec here has".into());
            }
            Op::Depthwise { stride: distance(&table, [1, 2], 0)?, dilation: distance(&table, [5, 6], 1)? }
        }
        6 => Op::Dequantize,
        22 => Op::Reshape,
        36 => Op::Gather,
        41 => {
            plain(&options(28, "SubOptions")?, 0)?;
            Op::Sub
        }
        45 => {
            let table = options(32, "StridedSliceOptions")?;
            let rest = [table.i32(2, 0)?, table.i32(3, 0)?];
            // Bits of axes that vanish are left to who reads the slice: its output's shape tells them.
            if rest != [0, 0] {
                return Err(format!("masks {rest:?}, which no codec here has"));
            }
            Op::Slice { begin_mask: table.i32(0, 0)?, end_mask: table.i32(1, 0)? }
        }
        49 => Op::Split,
        67 => {
            let table = options(49, "TransposeConvOptions")?;
            padding(&table)?;
            plain(&table, 3)?;
            Op::TransposedConv { stride: distance(&table, [1, 2], 0)? }
        }
        98 => Op::LeakyRelu { slope: options(75, "LeakyReluOptions")?.f32(0)? },
        114 => Op::Quantize,
        129 => {
            let graph = options(103, "CallOnceOptions")?.i32(0, 0)?;
            let found = usize::try_from(graph).ok().filter(|&g| g < graphs);
            Op::CallOnce { graph: found.ok_or_else(|| format!("graph {graph} of {graphs}"))? }
        }
        142 => Op::Variable { name: options(111, "VarHandleOptions")?.text(1, MAX_NAME)? },
        143 => Op::ReadVariable,
        144 => Op::AssignVariable,
        other => Op::Other(other),
    })
}
