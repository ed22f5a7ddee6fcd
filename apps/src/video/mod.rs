//! Video: any input to pictures, pictures to coded files and back.

mod clock;
mod coded;
pub(crate) mod compare;
mod convert;
pub(crate) mod decode;
pub(crate) mod encode;
mod fit;
pub(crate) mod info;
mod input;
mod movie;
mod orient;
mod pictures;
pub(crate) mod play;
mod realtime;
mod resume;
mod session;
mod settings;
mod sound;
mod timing;
pub(crate) mod verify;
mod watch;
mod y4m;

pub(crate) use coded::VideoFile;
pub(crate) use input::VideoInput;
pub(crate) use settings::VideoArgs;
pub(crate) use sound::Sound;
