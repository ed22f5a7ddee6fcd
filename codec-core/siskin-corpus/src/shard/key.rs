//! Names of utterances as names of files in a tar.

use std::fmt::Write;

/// The name of an utterance's files without their extensions. Readers take the name apart again, so what would mean something
/// to them is written as `%` and two hexadecimal digits: `%` itself, control characters, slashes and dots that do not name a
/// folder, and with `is_dot_kept` false every dot.
///
/// Ids without such characters, which nearly all are, stay as they are. No two ids get the same name.
pub(super) fn member_key(id: &str, is_dot_kept: bool) -> String {
    // `a//b`, `./a` and `../a` would come back as other paths, or lead out of the folder that a tar is unpacked in.
    let is_plain_path = id.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let mut key = String::with_capacity(id.len());
    for c in id.chars() {
        let is_kept = match c {
            '%' => false,
            '.' => is_dot_kept && is_plain_path,
            '/' => is_plain_path,
            c => !c.is_control(),
        };
        if is_kept {
            key.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Writing to a text does not fail.
                let _ = write!(key, "%{byte:02X}");
            }
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_names_that_readers_give_back() {
        for (id, with_dots, without) in [
            ("a", "a", "a"),
            ("speaker/a b", "speaker/a b", "speaker/a b"),
            ("v1.2-x", "v1.2-x", "v1%2E2-x"),
            ("100%", "100%25", "100%25"),
            ("../a", "%2E%2E%2Fa", "%2E%2E%2Fa"),
            ("/etc/x", "%2Fetc%2Fx", "%2Fetc%2Fx"),
            ("a\nb", "a%0Ab", "a%0Ab"),
            ("schön", "schön", "schön"),
        ] {
            assert_eq!((member_key(id, true).as_str(), member_key(id, false).as_str()), (with_dots, without));
        }
    }
}
