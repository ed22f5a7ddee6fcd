//! Properties that several elements have, and old names of properties.

use gst::glib;
use gst::prelude::*;

/// An old and the current name of a property.
pub(crate) type OldName = (&'static str, &'static str);

/// Adds the old names of properties, for one release.
///
/// # Panics
/// Where a current name is none of `specs`, or one that is no unsigned number: the tables of old names are constants, and
/// every element is made in tests.
pub(crate) fn add_old_names(specs: &mut Vec<glib::ParamSpec>, old_names: &[OldName]) {
    for (old, current) in old_names {
        let spec = specs.iter().find(|spec| spec.name() == *current);
        let spec = spec.and_then(|spec| spec.downcast_ref::<glib::ParamSpecUInt>());
        let spec = spec.expect("old names are those of unsigned numbers");
        let blurb = format!("Old name of {current}, which will be removed in the next release");
        let builder = glib::ParamSpecUInt::builder(old)
            .nick(spec.nick())
            .blurb(&blurb)
            .minimum(spec.minimum())
            .maximum(spec.maximum())
            .default_value(spec.default_value())
            // Not mutable by itself: setting an old name sets the current property, which has the flags.
            .deprecated();
        specs.push(builder.build());
    }
}

/// The current name of a property. An old one is warned of.
pub(crate) fn current_name<'a>(
    element: &impl IsA<glib::Object>,
    category: gst::DebugCategory,
    spec: &'a glib::ParamSpec,
    old_names: &[OldName],
) -> &'a str {
    let Some((old, current)) = old_names.iter().find(|(old, _)| *old == spec.name()) else {
        return spec.name();
    };
    // A warning in the log and not on the bus, where applications would show it to people.
    gst::warning!(
        category,
        obj = element,
        "{old} is the old name of {current} and will be removed in the next release"
    );
    current
}

/// The current name of a property that is read.
pub(crate) fn name_to_read<'a>(spec: &'a glib::ParamSpec, old_names: &[OldName]) -> &'a str {
    old_names.iter().find(|(old, _)| *old == spec.name()).map_or(spec.name(), |(_, current)| current)
}

/// A text; an empty one is none.
pub(crate) fn text_from(value: &glib::Value) -> Option<String> {
    // `gst-launch-1.0` cannot say "none" but it can say "".
    value.get::<Option<String>>().ok().flatten().filter(|text| !text.is_empty())
}

/// The read-only property `stats`.
pub(crate) fn stats_spec() -> glib::ParamSpec {
    glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
        .nick("Statistics")
        .blurb("Counters since the start")
        .read_only()
        .build()
}

/// The read-only properties `active-provider` and `stats`.
pub(crate) fn state_specs() -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecString::builder("active-provider")
            .nick("Active provider")
            .blurb("Execution provider that runs the network; empty while none runs")
            .read_only()
            .build(),
        stats_spec(),
    ]
}

/// The property `stages`.
pub(crate) fn stages_spec(blurb: &str) -> glib::ParamSpecUIntBuilder<'_> {
    glib::ParamSpecUInt::builder("stages").nick("Stages").blurb(blurb).maximum(64)
}

/// The property `frames-per-packet`.
pub(crate) fn frames_per_packet_spec(blurb: &str) -> glib::ParamSpec {
    glib::ParamSpecUInt::builder("frames-per-packet")
        .nick("Frames per packet")
        .blurb(blurb)
        .maximum(siskin_core::Limits::default().max_frames_per_packet)
        .mutable_ready()
        .build()
}
