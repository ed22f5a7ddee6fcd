//! Python's pickles, as far as a checkpoint needs them: a machine that builds texts, numbers, lists, dictionaries and the
//! places of tensors, and refuses to name, let alone call, anything else.

use std::cell::RefCell;
use std::rc::Rc;

use super::tensors::Number;

/// What a pickle builds.
// Shared, since a pickle may put one value in many places: copies would let a small file fill the memory.
#[derive(Debug, Clone)]
pub(super) enum Item {
    None,
    Bool,
    Int(i64),
    Float,
    Text(Rc<str>),
    Tuple(Rc<Items>),
    List(Rc<RefCell<Items>>),
    /// Keys and values in turn.
    Dict(Rc<RefCell<Items>>),
    /// A name that may be called, or names a type of number.
    Global(Global),
    Storage(Rc<Storage>),
    Tensor(Rc<TensorPlace>),
    /// Where a list of arguments begins.
    Mark,
}

/// What a tuple, a list or a dictionary holds.
#[derive(Debug, Default)]
pub(super) struct Items(pub(super) Vec<Item>);

impl Drop for Items {
    /// One after another and not within one another: a file may nest a million tuples, and the stack has no room for that.
    fn drop(&mut self) {
        let mut rest = std::mem::take(&mut self.0);
        while let Some(item) = rest.pop() {
            let inner = match item {
                Item::Tuple(items) => Rc::into_inner(items),
                Item::List(items) | Item::Dict(items) => Rc::into_inner(items).map(RefCell::into_inner),
                _ => None,
            };
            rest.extend(inner.map(|mut items| std::mem::take(&mut items.0)).into_iter().flatten());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Number),
}

/// Numbers in a file of the archive.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    pub(super) number: Number,
    pub(super) key: Rc<str>,
    pub(super) count: usize,
}

/// A tensor as a view of a storage.
#[derive(Debug, Clone)]
pub(super) struct TensorPlace {
    pub(super) storage: Rc<Storage>,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// Values that one pickle may build: Mimi's, the largest here, has 40,000.
const MAX_ITEMS: usize = 4_000_000;

struct Machine<'a> {
    data: &'a [u8],
    at: usize,
    stack: Vec<Item>,
    memo: Vec<Option<Item>>,
    built: usize,
}

/// Runs a pickle to its end and gives what it built.
///
/// # Errors
/// Offset and reason in words: an instruction that is not known here, a name that is not one of a tensor's parts.
pub(super) fn read_pickle(data: &[u8]) -> Result<Item, String> {
    let mut machine = Machine { data, at: 0, stack: Vec::new(), memo: Vec::new(), built: 0 };
    loop {
        let at = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(item)) => return Ok(item),
            Err(reason) => return Err(format!("pickle, offset {at}: {reason}")),
        }
    }
}

fn find_global(module: &str, name: &str) -> Result<Global, String> {
    let storage = |number| Ok(Global::Storage(number));
    match (module, name) {
        ("collections", "OrderedDict") => Ok(Global::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2") => Ok(Global::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => Ok(Global::RebuildParameter),
        ("torch", "FloatStorage") => storage(Number::F32),
        ("torch", "DoubleStorage") => storage(Number::F64),
        ("torch", "HalfStorage") => storage(Number::F16),
        ("torch", "BFloat16Storage") => storage(Number::Bf16),
        ("torch", "LongStorage") => storage(Number::I64),
        ("torch", "IntStorage") => storage(Number::I32),
        ("torch", "ShortStorage") => storage(Number::I16),
        ("torch", "CharStorage") => storage(Number::I8),
        ("torch", "ByteStorage" | "BoolStorage") => storage(Number::U8),
        _ => Err(format!("{module}.{name} is no part of a tensor; nothing else is built from a checkpoint")),
    }
}

impl Machine<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(count).filter(|&e| e <= self.data.len()).ok_or("ends too early")?;
        let found = &self.data[self.at..end];
        self.at = end;
        Ok(found)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn length<const N: usize>(&mut self) -> Result<usize, String> {
        let bytes = self.bytes::<N>()?;
        let value = bytes.iter().rev().fold(0u64, |v, &b| v << 8 | u64::from(b));
        usize::try_from(value).map_err(|_| "a length beyond this machine's".into())
    }

    fn text(&mut self, length: usize) -> Result<Item, String> {
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        Ok(Item::Text(text.into()))
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.data[self.at..];
        let length = rest.iter().position(|&b| b == b'\n').ok_or("a line without an end")?;
        let line = String::from_utf8(rest[..length].to_vec()).map_err(|e| e.to_string())?;
        self.at += length + 1;
        Ok(line)
    }

    fn push(&mut self, item: Item) -> Result<(), String> {
        self.built += 1;
        if self.built > MAX_ITEMS {
            return Err(format!("more than {MAX_ITEMS} values"));
        }
        self.stack.push(item);
        Ok(())
    }

    fn pop(&mut self) -> Result<Item, String> {
        self.stack.pop().ok_or_else(|| "an empty stack".into())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Item>, String> {
        let mark = self.stack.iter().rposition(|i| matches!(i, Item::Mark)).ok_or("no mark")?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn memoize(&mut self, index: usize) -> Result<(), String> {
        let top = self.stack.last().cloned().ok_or("an empty stack")?;
        if index > self.built {
            return Err(format!("memo {index}, {} values so far", self.built));
        }
        if self.memo.len() <= index {
            self.memo.resize(index + 1, None);
        }
        self.memo[index] = Some(top);
        Ok(())
    }

    fn recall(&mut self, index: usize) -> Result<(), String> {
        let item = self.memo.get(index).cloned().flatten().ok_or_else(|| format!("memo {index} is empty"))?;
        self.push(item)
    }

    fn tuple(&mut self, count: usize) -> Result<(), String> {
        let from = self.stack.len().checked_sub(count).ok_or("an empty stack")?;
        let items = self.stack.split_off(from);
        self.push(Item::Tuple(Rc::new(Items(items))))
    }

    fn set_items(&mut self, items: Vec<Item>) -> Result<(), String> {
        let Some(Item::Dict(dict)) = self.stack.last() else { return Err("items for no dictionary".into()) };
        if !items.len().is_multiple_of(2) {
            return Err("a key without a value".into());
        }
        dict.borrow_mut().0.extend(items);
        Ok(())
    }

    fn append(&mut self, items: Vec<Item>) -> Result<(), String> {
        let Some(Item::List(list)) = self.stack.last() else { return Err("items for no list".into()) };
        list.borrow_mut().0.extend(items);
        Ok(())
    }

    /// One instruction; the result if it was the last.
    fn step(&mut self) -> Result<Option<Item>, String> {
        let [code] = self.bytes()?;
        let dict = || Item::Dict(Rc::default());
        match code {
            // PROTO, FRAME: what they say changes nothing here.
            0x80 => drop(self.bytes::<1>()?),
            0x95 => drop(self.bytes::<8>()?),
            b'.' => return self.pop().map(Some),
            b'(' => self.push(Item::Mark)?,
            b'N' => self.push(Item::None)?,
            0x88 | 0x89 => self.push(Item::Bool)?,
            b'}' => self.push(dict())?,
            b']' => self.push(Item::List(Rc::default()))?,
            b')' => self.push(Item::Tuple(Rc::default()))?,
            b'K' => {
                let [v] = self.bytes()?;
                self.push(Item::Int(v.into()))?;
            }
            b'M' => {
                let v = u16::from_le_bytes(self.bytes()?);
                self.push(Item::Int(v.into()))?;
            }
            b'J' => {
                let v = i32::from_le_bytes(self.bytes()?);
                self.push(Item::Int(v.into()))?;
            }
            0x8a => {
                let length = self.length::<1>()?;
                let bytes = self.take(length)?;
                if bytes.len() > 8 {
                    return Err("a number of more than 64 bits".into());
                }
                let is_negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
                let start = if is_negative { -1 } else { 0 };
                let v = bytes.iter().rev().fold(start, |v: i64, &b| v << 8 | i64::from(b));
                self.push(Item::Int(v))?;
            }
            b'G' => {
                self.bytes::<8>()?;
                self.push(Item::Float)?;
            }
            b'X' => {
                let length = self.length::<4>()?;
                let text = self.text(length)?;
                self.push(text)?;
            }
            0x8c | b'U' => {
                let length = self.length::<1>()?;
                let text = self.text(length)?;
                self.push(text)?;
            }
            0x85..=0x87 => self.tuple(usize::from(code - 0x84))?,
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Item::Tuple(Rc::new(Items(items))))?;
            }
            b'q' => {
                let index = self.length::<1>()?;
                self.memoize(index)?;
            }
            b'r' => {
                let index = self.length::<4>()?;
                self.memoize(index)?;
            }
            0x94 => self.memoize(self.memo.len())?,
            b'h' => {
                let index = self.length::<1>()?;
                self.recall(index)?;
            }
            b'j' => {
                let index = self.length::<4>()?;
                self.recall(index)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(vec![key, value])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Item::Global(find_global(&module, &name)?))?;
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Item::Text(name), Item::Text(module)) => {
                    self.push(Item::Global(find_global(&module, &name)?))?;
                }
                _ => return Err("a name that is no text".into()),
            },
            b'Q' => {
                let id = self.pop()?;
                self.push(find_storage(&id)?)?;
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let Item::Tuple(arguments) = arguments else {
                    return Err("arguments that are no tuple".into());
                };
                self.push(build(&function, &arguments.0)?)?;
            }
            // BUILD: attributes of an ordered dictionary, of which a checkpoint's are about versions of layers.
            b'b' => drop(self.pop()?),
            other => return Err(format!("instruction {other:#04x} is none of a checkpoint")),
        }
        Ok(None)
    }
}

fn count_of(item: &Item) -> Result<usize, String> {
    match item {
        Item::Int(n) => usize::try_from(*n).map_err(|_| format!("{n} where a count stands")),
        _ => Err("no count where one stands".into()),
    }
}

fn counts_of(item: &Item) -> Result<Vec<usize>, String> {
    match item {
        Item::Tuple(items) => items.0.iter().map(count_of).collect(),
        _ => Err("no shape where one stands".into()),
    }
}

/// `("storage", type, key, device, count)`.
fn find_storage(id: &Item) -> Result<Item, String> {
    let Item::Tuple(parts) = id else { return Err("a persistent id that is no tuple".into()) };
    match &parts.0[..] {
        [Item::Text(kind), Item::Global(Global::Storage(number)), Item::Text(key), Item::Text(_), count]
            if &**kind == "storage" =>
        {
            let count = count_of(count)?;
            Ok(Item::Storage(Rc::new(Storage { number: *number, key: key.clone(), count })))
        }
        _ => Err("a persistent id that is no storage".into()),
    }
}

fn build(function: &Item, arguments: &[Item]) -> Result<Item, String> {
    match (function, arguments) {
        (Item::Global(Global::OrderedDict), []) => Ok(Item::Dict(Rc::default())),
        // Storage, offset, shape, strides; then whether training changes it and hooks, which are nothing here.
        (Item::Global(Global::RebuildTensor), [Item::Storage(storage), offset, shape, strides, ..]) => {
            let (offset, shape, strides) = (count_of(offset)?, counts_of(shape)?, counts_of(strides)?);
            if shape.len() != strides.len() || shape.len() > 8 {
                return Err(format!("shape {shape:?} with strides {strides:?}"));
            }
            let place = TensorPlace { storage: storage.clone(), offset, shape, strides };
            Ok(Item::Tensor(Rc::new(place)))
        }
        (Item::Global(Global::RebuildParameter), [tensor @ Item::Tensor(_), ..]) => Ok(tensor.clone()),
        _ => Err("a call that builds no tensor".into()),
    }
}
