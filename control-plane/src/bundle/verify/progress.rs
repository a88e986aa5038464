//! How far a verification has come, for whoever waits for it.

/// Files that were looked at, of those that will be.
pub struct Progress<'p> {
    done: u64,
    of: u64,
    show: Option<&'p mut dyn FnMut(u64, u64)>,
}

impl std::fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.done, self.of)
    }
}

impl<'p> Progress<'p> {
    /// Calls `show` with the files that were looked at and all that will be, each time one more was.
    pub fn new(show: &'p mut dyn FnMut(u64, u64)) -> Self {
        Self { done: 0, of: 0, show: Some(show) }
    }

    /// Nobody waits.
    #[must_use]
    pub fn unseen() -> Self {
        Self { done: 0, of: 0, show: None }
    }

    pub(super) fn begin(&mut self, of: usize) {
        self.of = of as u64;
        self.tell();
    }

    pub(super) fn step(&mut self) {
        self.done += 1;
        self.tell();
    }

    fn tell(&mut self) {
        if let Some(show) = &mut self.show {
            show(self.done, self.of);
        }
    }
}
