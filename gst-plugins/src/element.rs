//! What every element of the plugin repeats: its debug category, its description, its pads and its properties.

use gst::prelude::*;
use gst::subclass::prelude::*;
use siskin_core::Error;

use crate::errors;

/// Defines the debug category `CAT` of an element.
macro_rules! debug_category {
    ($element:literal, $text:literal) => {
        static CAT: std::sync::LazyLock<gst::DebugCategory> = std::sync::LazyLock::new(|| {
            gst::DebugCategory::new($element, gst::DebugColorFlags::empty(), Some($text))
        });
    };
}
pub(crate) use debug_category;

/// Defines two functions of `ElementImpl`: the element's name, class and description, and its pad templates.
macro_rules! describe_element {
    ($name:literal, $class:literal, $text:literal, $pads:expr $(,)?) => {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: std::sync::LazyLock<gst::subclass::ElementMetadata> =
                std::sync::LazyLock::new(|| $crate::element::metadata_from($name, $class, $text));
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: std::sync::LazyLock<Vec<gst::PadTemplate>> = std::sync::LazyLock::new(|| $pads);
            &TEMPLATES
        }
    };
}
pub(crate) use describe_element;

/// Defines the function `properties` of `ObjectImpl`.
macro_rules! describe_properties {
    ($specs:expr) => {
        fn properties() -> &'static [gst::glib::ParamSpec] {
            static PROPERTIES: std::sync::LazyLock<Vec<gst::glib::ParamSpec>> =
                std::sync::LazyLock::new(|| $specs);
            &PROPERTIES
        }
    };
}
pub(crate) use describe_properties;

/// Defines counters and, with `-` for `_` in their names, the structure that the property `stats` gives.
macro_rules! counters {
    (
        $(#[$meta:meta])*
        $name:ident as $structure:literal {
            $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default)]
        pub(super) struct $name {
            $($(#[$field_meta])* pub(super) $field: $type,)*
        }

        impl $name {
            pub(super) fn to_structure(self) -> gst::Structure {
                let mut structure = gst::Structure::new_empty($structure);
                $(structure.set(stringify!($field).replace('_', "-"), self.$field);)*
                structure
            }
        }
    };
}
pub(crate) use counters;

/// The description of an element of this plugin.
pub(crate) fn metadata_from(name: &str, class: &str, text: &str) -> gst::subclass::ElementMetadata {
    gst::subclass::ElementMetadata::new(name, class, text, "The Siskin developers")
}

/// A buffer's bytes; a buffer that cannot be mapped is an element error.
pub(crate) fn map_buffer<'a, T>(
    element: &T,
    buffer: &'a gst::BufferRef,
) -> Result<gst::BufferMap<'a, gst::buffer::Readable>, gst::FlowError>
where
    T: ElementImpl,
    T::Type: IsA<gst::Element>,
{
    buffer.map_readable().map_err(|e| {
        // Memory that is not readable, such as a GPU's: the pipeline is built wrongly, so it stops.
        gst::element_imp_error!(element, gst::ResourceError::Read, ["a buffer cannot be mapped: {e}"]);
        gst::FlowError::Error
    })
}

/// Posts an error of the core as the element's, and ends the flow.
pub(crate) fn post_error<T>(element: &T, error: &Error) -> gst::FlowError
where
    T: ElementImpl,
    T::Type: IsA<gst::Element>,
{
    element.post_error_message(errors::to_message(error));
    gst::FlowError::Error
}
