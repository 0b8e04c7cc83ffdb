//! A stream that arrives in portions.

/// A stream, and the sizes of its portions. In the input, the low half of the
/// first byte is the number of bytes that follow it as sizes, each minus 1; the
/// rest is the stream. The sizes repeat.
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

    /// Splits a stream, which may be another one, into portions of these sizes.
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
