//! The session in the README.
