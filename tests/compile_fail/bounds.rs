//! Types that are no keys or values.

use shmkv::types::{Key, Value};

fn key<K: Key>() {}
fn value<V: Value>() {}

struct Plain;

fn main() {
    key::<f64>();
    key::<Plain>();
    value::<Vec<u8>>();
    value::<usize>();
}
