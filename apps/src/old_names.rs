//! Old names of options, which work for one release more.

use std::ffi::OsString;

/// Old and current names of options. Clap takes the old ones as hidden aliases and does not tell which was given.
const OLD_NAMES: [(&str, &str); 5] = [
    ("--codebooks", "--stages"),
    ("--frame-size", "--frames-per-packet"),
    ("--redundancy-codebooks", "--redundancy-stages"),
    ("--bit-weight", "--lambda"),
    ("--steps", "--epochs and, with presets that code each frame, of --refine"),
];

/// Old names among arguments, each with the current one.
fn find_old_names(arguments: impl Iterator<Item = OsString>) -> Vec<(&'static str, &'static str)> {
    // What follows is file names, whatever they look like.
    let is_option = |argument: &OsString| argument != "--";
    let given: Vec<OsString> = arguments.take_while(is_option).collect();
    let is_given = |old: &str| {
        given.iter().filter_map(|argument| argument.to_str()).any(|argument| {
            argument.strip_prefix(old).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    };
    OLD_NAMES.into_iter().filter(|(old, _)| is_given(old)).collect()
}

/// Warns on stderr of old names among the arguments of a command line that clap has taken.
pub(crate) fn warn_of_old_names(arguments: impl Iterator<Item = OsString>) {
    for (old, current) in find_old_names(arguments) {
        eprintln!(
            "siskin: warning: {old} is the old name of {current} and will be removed in the next release"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old_names(line: &str) -> Vec<&'static str> {
        find_old_names(line.split(' ').map(OsString::from)).into_iter().map(|(old, _)| old).collect()
    }

    #[test]
    fn options_are_found_with_and_without_a_value_and_before_a_double_dash() {
        assert_eq!(old_names("encode a b --codebooks 3 --frame-size=1"), ["--codebooks", "--frame-size"]);
        assert_eq!(old_names("encode --stages 3 --frames-per-packet=1 --steps-per-frame"), [""; 0]);
        assert_eq!(old_names("encode -- --codebooks"), [""; 0]);
    }
}
