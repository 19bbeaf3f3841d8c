//! A progress bar on stderr, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::complain;
use crate::output::Output;

/// How far a long command is, with its rate and the time that is left. In a pipe, a file or a log
/// it shows nothing at all.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar for `total` units of work; without a total, a spinner.
    pub(crate) fn new(what: &'static str, total: Option<u64>) -> Self {
        // Hidden by itself when stderr is no terminal.
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
        let template = match total {
            Some(_) => "{prefix} {wide_bar} {percent:>3} %  {msg}  {eta} left",
            None => "{prefix} {spinner} {msg}",
        };
        // A template of ours is right or wrong for ever: a test sees that it is right.
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        bar.set_style(style);
        bar.set_prefix(what);
        Self(bar)
    }

    /// As [`new`](Self::new), unless the results go to the terminal as well: there the two would
    /// overwrite each other.
    pub(crate) fn beside(output: &Output, what: &'static str, total: Option<u64>) -> Self {
        match output.is_terminal() {
            true => Self(ProgressBar::hidden()),
            false => Self::new(what, total),
        }
    }

    /// Says something on stderr without drawing into it.
    pub(crate) fn complain(&self, message: &str) {
        self.0.suspend(|| complain(message));
    }

    /// So much of the work is done, which was so many entries.
    pub(crate) fn set(&self, done: u64, entries: u64) {
        if self.0.is_hidden() {
            return;
        }
        let seconds = self.0.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        let rate = crate::text::count(entries as f64 / seconds);
        self.0.set_message(format!(
            "{} entries, {rate}/s",
            crate::text::thousands(entries)
        ));
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
