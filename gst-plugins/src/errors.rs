//! Errors of the core as GStreamer's error messages.

use siskin_core::Error;

/// The error message of an element for an error of the core, in the domain where an application looks for it.
pub(crate) fn to_message(error: &Error) -> gst::ErrorMessage {
    let text = error.with_sources();
    match error {
        Error::Provider { .. } | Error::RuntimeLibrary { .. } | Error::Network { .. } => {
            gst::error_msg!(gst::LibraryError::Init, ("{text}"))
        }
        Error::Parameter { .. } => gst::error_msg!(gst::LibraryError::Settings, ("{text}")),
        // Not StreamError::CodecNotFound: uridecodebin swallows that one, and the reason with it.
        Error::BundleNotFound { .. } | Error::WrongBundle { .. } => {
            gst::error_msg!(gst::ResourceError::NotFound, ("{text}"))
        }
        Error::BadBundle { .. } | Error::Io { .. } => {
            // The file is there and cannot be used: another message than for one that is missing.
            gst::error_msg!(gst::ResourceError::OpenRead, ("{text}"))
        }
        Error::Container { .. } => gst::error_msg!(gst::StreamError::Mux, ("{text}")),
        _ => gst::error_msg!(gst::StreamError::Decode, ("{text}")),
    }
}
