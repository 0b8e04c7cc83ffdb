//! Which lines a parser need not read.

use memchr::memmem::Finder;

/// What to look for in a log: a line without any of it is nothing to the
/// parser, nor worth remembering for a later line.
#[derive(Debug)]
pub struct Needles {
    /// `None` where any line may be something.
    finders: Option<Vec<Finder<'static>>>,
}

impl Needles {
    pub(super) fn any(needles: impl Iterator<Item = &'static str>) -> Self {
        Self {
            finders: Some(needles.map(Finder::new).collect()),
        }
    }

    pub(super) fn everything() -> Self {
        Self { finders: None }
    }

    /// Searches some bytes of a log.
    #[must_use]
    pub fn search<'a>(&'a self, bytes: &'a [u8]) -> Search<'a> {
        let start = |finder: &'a Finder<'static>| (finder, finder.find(bytes));
        let finders = self.finders.as_ref();
        Search {
            bytes,
            found: finders.map(|finders| finders.iter().map(start).collect()),
        }
    }
}

/// A search that remembers how far it has got with each needle.
#[derive(Debug)]
pub struct Search<'a> {
    bytes: &'a [u8],
    found: Option<Vec<(&'a Finder<'static>, Option<usize>)>>,
}

impl Search<'_> {
    /// Where the first needle stands at `start` or behind it. `start` never
    /// goes back.
    pub fn next(&mut self, start: usize) -> Option<usize> {
        let rest = self.bytes.get(start..).unwrap_or_default();
        let Some(found) = &mut self.found else {
            return (!rest.is_empty()).then_some(start);
        };
        for (finder, at) in &mut *found {
            if at.is_some_and(|at| at < start) {
                *at = finder.find(rest).map(|at| start + at);
            }
        }
        found.iter().filter_map(|(_, at)| *at).min()
    }
}
