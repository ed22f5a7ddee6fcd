//! The functions that JavaScript calls. A result below 0 is [`FAILED`], whose reason is the text, or [`NEEDS_DATA`].

#![expect(
    unsafe_code,
    reason = "exported names are `#[unsafe(no_mangle)]`: two libraries may export the same one. All begin with siskin_, and there is no unsafe block"
)]

use std::cell::RefCell;

use crate::state::{Failure, State};
use crate::video::Step;

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

/// Writes what was missing or damaged since the last seek to the text: JSON.
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

/// A decoder of a file's video; its number. Fails where the video needs a network.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_video_new(file: u32) -> i32 {
    result(with(|s| s.new_video(file)), |number| number as i32)
}

/// Decodes the next frame of a packet, else the next packet: 1 for a frame that is to be shown, 2 for one before the time that was
/// sought, 3 for a packet that is damaged, 0 at the end.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_video_next(video: u32) -> i32 {
    result(with(|s| s.decode_video(video)), |step| match step {
        Step::End => 0,
        Step::Frame => 1,
        Step::Before => 2,
        Step::Damaged => 3,
    })
}

/// When the frame, or the damaged packet, begins, in seconds; below 0 on failure.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_video_start(video: u32) -> f64 {
    video_time(video, |time| time.0)
}

/// When it ends, in seconds, as far as the file says; below 0 on failure.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_video_end(video: u32) -> f64 {
    video_time(video, |time| time.1)
}

fn video_time(video: u32, choose: impl FnOnce((f64, f64)) -> f64) -> f64 {
    match with(|s| Ok(s.video(video)?.time())) {
        Ok(time) => choose(time),
        failed => result(failed, |_| 0).into(),
    }
}

/// Columns of the frame.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_video_width(video: u32) -> i32 {
    result(with(|s| s.video(video)?.size()), |size| size.width() as i32)
}

/// Rows of the frame.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_video_height(video: u32) -> i32 {
    result(with(|s| s.video(video)?.size()), |size| size.height() as i32)
}

/// The address of the frame's pixels: red, green, blue, opacity, row by row; 0 on failure.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_video_pixels(video: u32) -> usize {
    let pixels = with(|s| s.video(video)?.pixels().map(|pixels| pixels.as_ptr() as usize));
    // An address may have its highest bit set, so a failure cannot be told by the sign.
    let address = *pixels.as_ref().unwrap_or(&0);
    result(pixels, |_| 0);
    address
}

/// Goes on at a time: the next frame to be shown is the one that is on screen then.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_video_seek(video: u32, seconds: f64) -> i32 {
    result(with(|s| s.video(video)?.seek(seconds)), |()| 0)
}

/// Writes what was missing or damaged of the video since the last seek to the text: JSON.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_video_damage(video: u32) -> i32 {
    result(with(|s| s.describe_video_damage(video)), |()| 0)
}

/// Frees a decoder of video.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_video_free(video: u32) {
    with(|s| s.free_video(video));
}

/// Begins a recording with the bundle, which must have been opened with its encoder; its number. `stages` of 0 are the default.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_recorder_new(stages: u32) -> i32 {
    result(with(|s| s.new_recorder(u8::try_from(stages).unwrap_or(u8::MAX))), |number| number as i32)
}

/// Samples per second that a recording takes.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_recorder_rate(recorder: u32) -> i32 {
    result(with(|s| s.recorder_rate(recorder)), |rate| rate as i32)
}

/// Encodes the input, 32-bit floats; the bytes of the recording so far.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_recorder_push(recorder: u32) -> i32 {
    result(with(|s| s.record(recorder)), |count| count as i32)
}

/// Ends a recording; the bytes of its file.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_recorder_finish(recorder: u32) -> i32 {
    result(with(|s| s.finish_recorder(recorder)), |count| count as i32)
}

/// The address of a recording's file, after its end.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_bytes() -> usize {
    with(|s| s.bytes.as_ptr() as usize)
}

/// Frees a recording that is not to be ended.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_recorder_free(recorder: u32) {
    with(|s| s.free_recorder(recorder));
}
