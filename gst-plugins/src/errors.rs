//! Errors of the core as GStreamer's error messages.

use siskin_core::Error;

/// The error message of an element for an error of the core, in the domain where an application looks for it.
pub(crate) fn message(error: &Error) -> gst::ErrorMessage {
    match error {
        Error::Provider { .. } | Error::RuntimeLibrary(_) | Error::Network { .. } => {
            gst::error_msg!(gst::LibraryError::Init, ("{error}"))
        }
        Error::Parameter { .. } => gst::error_msg!(gst::LibraryError::Settings, ("{error}")),
        // Not StreamError::CodecNotFound: uridecodebin swallows that one, and the reason with it.
        Error::BundleNotFound { .. } | Error::WrongBundle { .. } => {
            gst::error_msg!(gst::ResourceError::NotFound, ("{error}"))
        }
        Error::BadBundle { .. } | Error::Io { .. } => {
            gst::error_msg!(gst::ResourceError::OpenRead, ("{error}"))
        }
        Error::Container(_) => gst::error_msg!(gst::StreamError::Mux, ("{error}")),
        _ => gst::error_msg!(gst::StreamError::Decode, ("{error}")),
    }
}
