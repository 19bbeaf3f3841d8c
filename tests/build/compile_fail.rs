//! What cannot be a key or a value is refused when the program is compiled, with a message
//! that says what to do. The expected messages are those of the toolchain that the project
//! is built with; another one words its own part differently.

#[test]
fn unsuitable_types_are_refused_with_advice() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
