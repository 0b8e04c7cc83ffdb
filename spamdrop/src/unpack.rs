//! Decompresses logs: gzip, xz and zstd.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

/// Maximum memory of a decoder. The highest levels that are in use (`xz -9`,
/// `zstd -19 --long`) need 64 MiB and 128 MiB.
const MEMORY: u64 = 160 << 20;

/// Number of bytes that distinguishes the formats.
pub const MAGIC: usize = 6;

/// How a log is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Uncompressed.
    Plain,
    /// RFC 1952.
    Gzip,
    /// The .xz file format.
    Xz,
    /// RFC 8878.
    Zstd,
    /// bzip2, which is recognized, but not decompressed.
    Bzip2,
}

impl Compression {
    /// Recognizes the format by the first [`MAGIC`] bytes of a file.
    #[must_use]
    pub fn recognize(start: &[u8]) -> Self {
        let formats: [(&[u8], Self); 4] = [
            (b"\x1f\x8b", Self::Gzip),
            (b"\xfd7zXZ\0", Self::Xz),
            (b"\x28\xb5\x2f\xfd", Self::Zstd),
            (b"BZh", Self::Bzip2),
        ];
        let found = formats.iter().find(|(magic, _)| start.starts_with(magic));
        found.map_or(Self::Plain, |(_, format)| *format)
    }

    /// Returns a reader of the decompressed bytes of `input`, which takes bounded memory.
    ///
    /// # Errors
    ///
    /// The format is bzip2.
    pub fn unpack<R: Read + 'static>(self, input: R) -> io::Result<Unpacked<R>> {
        let input = BufReader::new(input);
        Ok(Unpacked(match self {
            Self::Plain => Decoder::Plain(input),
            Self::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(input))),
            Self::Xz => {
                let memory_kib = u32::try_from(MEMORY >> 10).unwrap_or(u32::MAX);
                let xz = XzReader::new_mem_limit(input, true, memory_kib);
                Decoder::Xz(Box::new(xz))
            }
            Self::Zstd => Decoder::BetweenFrames(input),
            Self::Bzip2 => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "bzip2 is not decompressed; use `bzcat`",
                ));
            }
        }))
    }
}

/// A reader of decompressed bytes. After an error, it returns the end of the file.
pub struct Unpacked<R: Read>(Decoder<R>);

enum Decoder<R: Read> {
    Plain(BufReader<R>),
    Gzip(Box<MultiGzDecoder<BufReader<R>>>),
    Xz(Box<XzReader<BufReader<R>>>),
    /// A file of zstd has one frame or more.
    BetweenFrames(BufReader<R>),
    Frame(Box<StreamingDecoder<BufReader<R>, ruzstd::decoding::FrameDecoder>>),
    Failed,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.0.read(buffer);
        // A decoder that failed is in an unknown state.
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.0 = Decoder::Failed;
        }
        read
    }
}

impl<R: Read> Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self {
                Self::Plain(input) => return input.read(buffer),
                Self::Gzip(gzip) => return gzip.read(buffer),
                Self::Xz(xz) => return xz.read(buffer),
                Self::Frame(frame) => match frame.read(buffer)? {
                    0 => self.end_frame(),
                    count => return Ok(count),
                },
                Self::BetweenFrames(_) => {
                    if !self.start_frame()? {
                        return Ok(0);
                    }
                }
                Self::Failed => return Ok(0),
            }
        }
    }

    /// Starts the next frame of zstd. Returns whether there is one.
    fn start_frame(&mut self) -> io::Result<bool> {
        let Self::BetweenFrames(mut input) = std::mem::replace(self, Self::Failed) else {
            return Ok(false);
        };
        if input.fill_buf()?.is_empty() {
            *self = Self::BetweenFrames(input);
            return Ok(false);
        }
        let frame = StreamingDecoder::new_with_max_window_size(input, MEMORY);
        *self = Self::Frame(Box::new(frame.map_err(io::Error::other)?));
        Ok(true)
    }

    fn end_frame(&mut self) {
        if let Self::Frame(frame) = std::mem::replace(self, Self::Failed) {
            *self = Self::BetweenFrames(frame.into_inner());
        }
    }
}

impl<R: Read> fmt::Debug for Unpacked<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unpacked")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::io::{Cursor, Write as _};

    use lzma_rust2::{XzOptions, XzWriter};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    /// `echo hello | xz --lzma2=preset=0,dict=1536MiB`
    const XZ: &[u8] = b"\
        \xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\
        \x25\x00\x00\x00\x3b\x78\x7b\x41\x01\x00\x05\x68\x65\x6c\x6c\x6f\
        \x0a\x00\x00\x00\xa5\x60\x97\xf1\x94\xf6\xfd\xe0\x00\x01\x1e\x06\
        \xc1\x2f\xa4\x1d\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a";

    fn sample_text() -> Vec<u8> {
        let lines = (0..4_000).map(|n| format!("{n} a line of a log {}\n", n * 7919));
        lines.collect::<String>().into_bytes()
    }

    /// The text in each format.
    fn packed(text: &[u8]) -> [(Compression, Vec<u8>); 3] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(text).unwrap();
        let mut xz = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
        xz.write_all(text).unwrap();
        [
            (Compression::Gzip, gzip.finish().unwrap()),
            (Compression::Xz, xz.finish().unwrap()),
            (
                Compression::Zstd,
                compress_to_vec(text, CompressionLevel::Fastest),
            ),
        ]
    }

    fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let format = Compression::recognize(bytes);
        let mut text = Vec::new();
        format
            .unpack(Cursor::new(bytes.to_vec()))?
            .read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn every_format_gives_the_text() {
        let text = sample_text();
        assert_eq!(unpacked(&text).unwrap(), text);
        for (format, one) in packed(&text) {
            assert_eq!(Compression::recognize(&one), format);
            assert_eq!(unpacked(&one).unwrap(), text, "{format:?}");
            // Files of these formats may be joined.
            let both = unpacked(&[one.clone(), one].concat()).unwrap();
            assert_eq!(both, [text.clone(), text.clone()].concat(), "{format:?}");
        }
        let error = unpacked(b"BZh91AY&SY").unwrap_err().to_string();
        assert!(error.contains("bzcat"), "{error}");
    }

    #[test]
    fn damage_is_an_error_and_no_panic() {
        let text = &sample_text()[..2_000];
        for (format, whole) in packed(text) {
            for at in 0..whole.len() {
                let cut = unpacked(&whole[..at]);
                assert!(at < MAGIC || cut.is_err(), "{format:?} cut at {at}");
                for bits in [0x01, 0x80, 0xff] {
                    let mut bytes = whole.clone();
                    bytes[at] ^= bits;
                    // Some bytes, such as a time, carry no text.
                    let _ = unpacked(&bytes);
                }
            }
        }
    }

    #[test]
    fn a_dictionary_that_is_too_large_is_refused() {
        let error = unpacked(XZ).unwrap_err().to_string();
        assert!(error.contains("memory"), "{error}");
    }
}
