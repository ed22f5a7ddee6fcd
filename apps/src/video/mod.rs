//! Video: any input to frames, frames to coded files and back.

mod clock;
pub(crate) mod compare;
mod convert;
pub(crate) mod decode;
pub(crate) mod encode;
mod fit;
mod frame_reader;
pub(crate) mod info;
mod input;
mod job;
mod movie;
mod orient;
pub(crate) mod play;
mod preview;
mod realtime;
mod resume;
mod session;
mod settings;
mod sound_track;
mod timing;
pub(crate) mod verify;
mod video_file;
mod y4m;

pub(crate) use input::VideoInput;
pub(crate) use job::Job;
pub(crate) use settings::VideoArgs;
pub(crate) use sound_track::Sound;
pub(crate) use video_file::VideoFile;
