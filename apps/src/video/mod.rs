//! Video: any input to pictures, pictures to coded files and back.

mod clock;
mod coded;
mod colour;
pub(crate) mod compare;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod info;
mod input;
mod movie;
mod pace;
mod pictures;
pub(crate) mod play;
mod realtime;
mod resume;
mod settings;
mod sound;
pub(crate) mod verify;
mod watch;
mod y4m;

pub(crate) use coded::VideoFile;
pub(crate) use input::VideoInput;
pub(crate) use settings::VideoArgs;
pub(crate) use sound::Sound;

/// Which of pictures and sound an input has; a cover is no video. Nothing of what can be opened only once.
pub(crate) fn kinds(path: &std::path::Path) -> (bool, bool) {
    VideoInput::kinds(path)
}
