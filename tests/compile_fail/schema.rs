//! Types that have no schema, each for its own reason.

#[derive(shmkv::Schema)]
#[repr(C)]
union Either {
    a: u32,
    b: f32,
}

#[derive(shmkv::Schema)]
#[repr(u8)]
enum Carries {
    Nothing,
    Number(u32),
}

#[derive(shmkv::Schema)]
enum NoRepr {
    A,
}

#[derive(shmkv::Schema)]
#[repr(usize)]
enum Wide {
    A,
}

#[derive(shmkv::Schema)]
struct AnyOrder {
    a: u8,
    b: u8,
}

#[derive(shmkv::Schema)]
#[repr(C)]
struct Width {
    small: u8,
    many: [usize; 4],
}

#[derive(shmkv::Schema)]
#[repr(C)]
struct Address {
    name: &'static str,
}

#[derive(shmkv::Schema)]
#[repr(C)]
struct Tuple {
    pair: (u8, u8),
}

#[derive(shmkv::Schema)]
#[repr(C)]
struct Renamed {
    #[shmkv(rename = "two words")]
    a: u8,
}

#[derive(shmkv::Schema)]
#[repr(C)]
struct Twice {
    a: u8,
    #[shmkv(rename = "a")]
    b: u8,
}

#[derive(shmkv::Schema)]
#[repr(C)]
struct Typo {
    #[shmkv(renamed = "a")]
    b: u8,
}

#[shmkv::record(path = kv)]
struct Option {}

fn main() {}
