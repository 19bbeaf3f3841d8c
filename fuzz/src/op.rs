//! The interface of a map, as data.

use arbitrary::Arbitrary;

/// One call. Numbers stand for keys and values.
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
    Check,
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
        Self::Check,
        Self::Recover,
        Self::Retain(1),
        Self::Clear,
    ];
}
