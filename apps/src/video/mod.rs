//! Video: any input to pictures, pictures to coded files and back.

mod coded;
pub(crate) mod compare;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod info;
mod input;
mod realtime;
mod settings;
pub(crate) mod verify;
mod y4m;

pub(crate) use coded::VideoFile;
pub(crate) use input::VideoInput;
pub(crate) use settings::VideoArgs;
