//! Draws a pull as progress bars on standard error, where there is a terminal. Only shows; decides nothing.

use super::{Progress, Step};
use indicatif::{ProgressBar, ProgressStyle};

/// One bar at a time, for the file at hand; pass `|p| bar.show(p)` to `pull`.
#[derive(Default)]
pub struct Bar {
    bar: Option<(String, ProgressBar)>,
}

impl Bar {
    /// No bar yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows the latest state.
    pub fn show(&mut self, progress: Progress<'_>) {
        if progress.step == Step::Ready {
            self.clear();
            return;
        }
        if self.bar.as_ref().is_none_or(|(what, _)| what != progress.what) {
            self.clear();
            let bar = ProgressBar::new(progress.total_bytes);
            let style = ProgressStyle::with_template("{msg:44} {bar:30} {bytes:>10} of {total_bytes}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(progress.what.to_owned());
            self.bar = Some((progress.what.to_owned(), bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(progress.done_bytes);
        }
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}
