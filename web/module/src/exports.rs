//! The functions that JavaScript calls. A result below 0 is [`FAILED`], whose reason is the text, or [`NEEDS_DATA`].

#![expect(
    unsafe_code,
    reason = "exported names are `#[unsafe(no_mangle)]`: two libraries may export the same one. All begin with siskin_, and there is no unsafe block"
)]

use std::cell::RefCell;

use crate::state::{Failure, State};

/// It did not work; the text says why.
pub const FAILED: i32 = -1;
/// The file has not arrived so far: [`siskin_file_wanted`] says where it is missing. The call is to be made again then.
pub const NEEDS_DATA: i32 = -2;

thread_local! {
    // One thread has all of it: WebAssembly without shared memory has no other.
    static STATE: RefCell<State> = RefCell::default();
}

fn result<T>(value: Result<T, Failure>, number: impl FnOnce(T) -> i32) -> i32 {
    match value {
        Ok(value) => number(value),
        Err(Failure::NeedsData) => NEEDS_DATA,
        Err(Failure::Broken(reason)) => {
            STATE.with_borrow_mut(|s| s.text = reason);
            FAILED
        }
    }
}

fn with<T>(work: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(work)
}

/// Once, before anything else: what the module says when it traps is then the text.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_start() {
    std::panic::set_hook(Box::new(|panic| {
        // The state may be borrowed by what panicked; the text then stays what it was.
        let _ = STATE.try_with(|s| s.try_borrow_mut().map(|mut s| s.text = panic.to_string()));
    }));
}

/// Makes the input `length` bytes long and returns its address.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_input(length: usize) -> usize {
    with(|s| {
        s.input.clear();
        s.input.resize(length, 0);
        s.input.as_mut_ptr() as usize
    })
}

/// The address of the text, in UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_text() -> usize {
    with(|s| s.text.as_ptr() as usize)
}

/// Bytes of the text.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_text_length() -> usize {
    with(|s| s.text.len())
}

/// The address of the samples, 32-bit floats.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_samples() -> usize {
    with(|s| s.samples.as_ptr() as usize)
}

/// The address of the codes, 16-bit integers.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_codes() -> usize {
    with(|s| s.codes.as_ptr() as usize)
}

/// Gives a file of the bundle: the input is its name of `name_length` bytes, then its bytes.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_bundle_file(name_length: usize) -> i32 {
    result(with(|s| s.add_bundle_file(name_length)), |()| 0)
}

/// Opens the bundle of the files that were given; the input is its manifest.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_bundle_open() -> i32 {
    result(with(State::open_bundle), |()| 0)
}

/// Begins a file of which nothing has arrived; its number.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_file_new() -> i32 {
    with(State::new_file) as i32
}

/// Bytes of a file have arrived: the input, which lies at `offset`.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_file_write(file: u32, offset: f64) -> i32 {
    result(with(|s| s.write_file(file, offset as u64)), |()| 0)
}

/// Says how long a file is.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_file_finish(file: u32, length: f64) -> i32 {
    result(with(|s| s.finish_file(file, length as u64)), |()| 0)
}

/// Where the file is missing that a call needed, as a double since files are longer than 4 GiB; below 0 on failure.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_file_wanted(file: u32) -> f64 {
    match with(|s| s.wanted(file)) {
        Ok(at) => at as f64,
        failed => result(failed, |_| 0).into(),
    }
}

/// Writes what a file says of itself to the text: JSON.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_file_describe(file: u32) -> i32 {
    result(with(|s| s.describe_file(file)), |()| 0)
}

/// Forgets a file; decoders of it go on.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_file_free(file: u32) {
    with(|s| s.free_file(file));
}

/// A decoder of a file; its number.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_decoder_new(file: u32) -> i32 {
    result(with(|s| s.new_decoder(file)), |number| number as i32)
}

/// Decodes the next packet; the number of its samples, 0 at the end.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_decoder_next(decoder: u32) -> i32 {
    result(with(|s| s.decode(decoder)), |count| count as i32)
}

/// The place of the next sample in the file, in samples; below 0 on failure.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_decoder_position(decoder: u32) -> f64 {
    match with(|s| s.position(decoder)) {
        Ok(at) => at as f64,
        failed => result(failed, |_| 0).into(),
    }
}

/// Goes on at a time; the samples are those of decoding from the start.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_decoder_seek(decoder: u32, seconds: f64) -> i32 {
    result(with(|s| s.seek(decoder, seconds)), |()| 0)
}

/// Writes what was missing or damaged so far to the text: JSON.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_decoder_damage(decoder: u32) -> i32 {
    result(with(|s| s.describe_damage(decoder)), |()| 0)
}

/// Frees a decoder.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_decoder_free(decoder: u32) {
    with(|s| s.free_decoder(decoder));
}

/// A reader of a file's codes; its number.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_codes_new(file: u32) -> i32 {
    result(with(|s| s.new_code_reader(file)), |number| number as i32)
}

/// Reads the next packet's codes, `[frame][stage][group]`; their number, 0 at the end.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_codes_next(reader: u32) -> i32 {
    result(with(|s| s.read_codes(reader)), |count| count as i32)
}

/// Frees a reader of codes.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_codes_free(reader: u32) {
    with(|s| s.free_code_reader(reader));
}
