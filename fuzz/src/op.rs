//! The interfaces of a map and of a cache, as data.

use arbitrary::Arbitrary;

/// One call of a map. Numbers stand for keys and values.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Op {
    Insert(u8, u16),
    Fill(u8, u8, u16),
    TryInsert(u8, u16),
    Remove(u8),
    RemoveMany(u8, u8),
    RemoveIf(u8, bool),
    Update(u8, u16),
    FetchUpdate(u8, Option<u16>),
    FetchAdd(u8, u16),
    CompareExchange(u8, u16, u16),
    Get(u8),
    GetInto(u8),
    GetMany(u8, u8),
    Iterate,
    /// An iteration, during which some keys are removed and inserted again.
    IterateMeanwhile(u8, u8),
    Retain(u8),
    Clear,
    Stats,
    CheckReport,
    Recover,
}

impl Op {
    /// One of each, with numbers that meet.
    pub const EACH: [Self; 20] = [
        Self::Get(0),
        Self::GetInto(1),
        Self::GetMany(0, 40),
        Self::Insert(0, 1),
        Self::TryInsert(1, 1),
        Self::Update(2, 1),
        Self::FetchUpdate(2, Some(2)),
        Self::FetchAdd(3, 1),
        Self::CompareExchange(2, 2, 3),
        Self::Remove(3),
        Self::RemoveIf(4, true),
        Self::Fill(0, 20, 5),
        Self::RemoveMany(5, 3),
        Self::Iterate,
        Self::IterateMeanwhile(0, 9),
        Self::Stats,
        Self::CheckReport,
        Self::Recover,
        Self::Retain(1),
        Self::Clear,
    ];
}

/// One call of a cache. Numbers stand for keys and values.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum CacheOp {
    Insert(u8, u16),
    Fill(u8, u8, u16),
    InsertWithTtl(u8, u16, u16),
    Get(u8),
    Load(u8, u16),
    TryLoad(u8, Option<u16>),
    LoadOption(u8, Option<u16>),
    Remove(u8),
    Iterate,
    Retain(u8),
    Clear,
    InvalidateAll,
    RemoveExpired,
    Stats,
    CheckReport,
    Recover,
}

impl CacheOp {
    /// One of each.
    pub const EACH: [Self; 16] = [
        Self::Get(0),
        Self::Insert(0, 1),
        Self::Fill(0, 30, 2),
        Self::InsertWithTtl(1, 1, 1),
        Self::Load(2, 7),
        Self::TryLoad(3, None),
        Self::LoadOption(4, None),
        Self::Remove(5),
        Self::Iterate,
        Self::Stats,
        Self::CheckReport,
        Self::Recover,
        Self::Retain(1),
        Self::RemoveExpired,
        Self::InvalidateAll,
        Self::Clear,
    ];
}
