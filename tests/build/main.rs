//! What compiles, what must not, and what a program that depends on the library has to build.

mod compile_fail;
mod consumer_builds;
mod lean;
mod stack;
