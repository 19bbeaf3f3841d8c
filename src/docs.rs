//! The pages of the folder `docs/`, which belong to no single item.

/// A page as a module. The pages name each other by reference links, `[speed]`, and say at their end
/// which file that is. Here each name means the page's module: the first definition counts.
macro_rules! page {
    ($module:ident, $file:literal) => {
        pub mod $module {
            #![doc = "[guarantees]: crate::docs::guarantees"]
            #![doc = "[restarts]: crate::docs::restarts"]
            #![doc = "[segments]: crate::docs::segments"]
            #![doc = "[types]: crate::docs::types"]
            #![doc = "[sizing]: crate::docs::sizing"]
            #![doc = "[cache]: crate::docs::cache"]
            #![doc = "[command line]: crate::docs::command_line"]
            #![doc = "[speed]: crate::docs::speed"]
            #![doc = "[verification]: crate::docs::verification"]
            #![doc = "[hostile]: crate::docs::hostile"]
            #![doc = "[format]: crate::docs::format"]
            #![doc = "[deploys]: crate::docs::deploys"]
            #![doc = "[trust]: crate::docs::trust"]
            #![doc = ""]
            #![doc = include_str!(concat!("../docs/", $file))]
        }
    };
}

page!(guarantees, "guarantees.md");
page!(restarts, "restarts.md");
page!(segments, "segments.md");
page!(types, "types.md");
page!(sizing, "sizing.md");
page!(cache, "cache.md");
page!(command_line, "command-line.md");
page!(speed, "speed.md");
page!(verification, "verification.md");
page!(hostile, "hostile.md");
page!(format, "format.md");
page!(deploys, "deploys.md");
page!(trust, "trust.md");
