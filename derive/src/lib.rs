//! Derive macros of `shmkv`.
