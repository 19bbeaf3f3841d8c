//! `shmkv chown`: whose a segment is.

use clap::Args;
use shmkv::Segment;

use crate::failure::{ExitStatus, Outcome};
use crate::open::Global;
use crate::process::{gid_of, uid_of};

/// Changes owner and group of segments, those of System V as well.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  shmkv chown nobody shm:quotes\n  shmkv chown :daemon shm:quotes"
)]
pub(crate) struct Chown {
    /// USER, USER:GROUP or :GROUP, by name or number.
    #[arg(value_parser = parse_owner)]
    owner: Owner,
    /// Such as shm:NAME or file:PATH.
    #[arg(required = true)]
    segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Chown {
    pub(crate) fn run(self, global: Global) -> Outcome {
        for segment in &self.segments {
            global.recognise(segment)?;
            segment.set_permissions(None, self.owner.uid, self.owner.gid)?;
        }
        Ok(ExitStatus::Fine)
    }
}

fn parse_owner(text: &str) -> Result<Owner, String> {
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    let part = |text: &str, find: fn(&str) -> Result<u32, String>| match text {
        "" => Ok(None),
        name => find(name).map(Some),
    };
    match (part(user, uid_of)?, part(group, gid_of)?) {
        (None, None) => Err("expected USER, USER:GROUP or :GROUP".to_owned()),
        (uid, gid) => Ok(Owner { uid, gid }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_users_groups_or_both() {
        let owner = |uid, gid| Ok(Owner { uid, gid });
        assert_eq!(parse_owner("root"), owner(Some(0), None));
        assert_eq!(parse_owner("12:34"), owner(Some(12), Some(34)));
        assert_eq!(parse_owner(":34"), owner(None, Some(34)));
        assert!(parse_owner(":").is_err());
        assert!(parse_owner("no-such-user:").is_err());
    }
}
