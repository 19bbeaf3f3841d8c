//! Padding has no name in a schema, and its bytes no value.

#[derive(shmkv::Schema)]
#[repr(C)]
struct Between {
    a: u8,
    b: u32,
}

#[derive(shmkv::Schema)]
#[repr(C)]
struct Behind {
    a: u32,
    b: u8,
}

fn main() {}
