//! A stream that comes in portions.

/// The bytes that follow the first, in portions: the low half of the first
/// byte says how many of them give the sizes, less one, which then repeat.
pub(crate) struct Portions<'a> {
    sizes: &'a [u8],
    pub(crate) stream: &'a [u8],
}

impl<'a> Portions<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        let (first, rest) = data.split_first().unwrap_or((&0, &[]));
        let (sizes, stream) = rest.split_at(rest.len().min((first % 16).into()));
        Self { sizes, stream }
    }

    /// Portions of a stream, this one or another, together the whole.
    pub(crate) fn cut<'s>(&self, mut stream: &'s [u8]) -> Vec<&'s [u8]> {
        let mut portions = Vec::new();
        let mut sizes = self.sizes.iter().cycle();
        while !stream.is_empty() {
            let size = sizes
                .next()
                .map_or(usize::MAX, |size| 1 + usize::from(*size));
            let (portion, rest) = stream.split_at(size.min(stream.len()));
            portions.push(portion);
            stream = rest;
        }
        portions
    }
}
