//! Gives the shared library the name by which programs find it, with the ABI's version.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // As cargo-c does it: programs link with libsiskin.so and load libsiskin.so.1.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsiskin.so.1");
}
