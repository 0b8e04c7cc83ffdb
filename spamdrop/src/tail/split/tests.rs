use super::*;

/// The lines with their offsets, and the number of overlong ones.
fn split(chunks: &[&[u8]]) -> (Vec<(u64, Vec<u8>)>, usize, Splitter) {
    let (mut lines, mut overlong) = (Vec::new(), 0);
    let mut splitter = Splitter::from_offset(0);
    for chunk in chunks {
        splitter.feed(chunk, &mut |piece| match piece {
            Piece::Line { bytes, start, .. } => lines.push((start, bytes.to_vec())),
            Piece::Overlong => overlong += 1,
            Piece::Skipped { .. } => panic!("everything is wanted"),
        });
        assert!(splitter.partial.capacity() <= MAX_LINE);
    }
    (lines, overlong, splitter)
}

#[test]
fn cuts_at_newlines_and_keeps_odd_bytes() {
    let (lines, overlong, splitter) = split(&[b"a\n\nb\0\xff\r\nc\rd\nrest"]);
    let expected: [(u64, &[u8]); 4] = [(0, b"a"), (2, b""), (3, b"b\0\xff"), (8, b"c\rd")];
    assert_eq!(
        lines,
        expected.map(|(start, bytes)| (start, bytes.to_vec()))
    );
    assert_eq!(
        (overlong, splitter.line_start(), splitter.position()),
        (0, 12, 16)
    );
}

#[test]
fn portions_do_not_matter() {
    let long = [b'x'; MAX_LINE + 1];
    let text = [b"one\r\ntwo\n".as_slice(), &long, b"\nthree\n\nfour"].concat();
    let (whole, ..) = split(&[&text]);
    assert_eq!(whole.len(), 4);
    for size in [1, 2, 3, 7, 4096, 8191, 8192, 8193] {
        let chunks: Vec<&[u8]> = text.chunks(size).collect();
        let (lines, overlong, _) = split(&chunks);
        assert_eq!((lines, overlong), (whole.clone(), 1), "portions of {size}");
    }
}

#[test]
fn the_longest_line_is_8192_bytes() {
    for (length, lines) in [(MAX_LINE, 1), (MAX_LINE + 1, 0)] {
        let text = [vec![b'x'; length], b"\n".to_vec()].concat();
        for cut in [0, 1, 4096, length, length + 1] {
            let (found, overlong, _) = split(&[&text[..cut], &text[cut..]]);
            assert_eq!(
                (found.len(), overlong),
                (lines, 1 - lines),
                "{length}, {cut}"
            );
        }
    }
}

#[test]
fn a_line_without_end_is_counted_once_and_costs_nothing() {
    let (lines, overlong, splitter) = split(&[[b'x'; 65536].as_slice(); 16]);
    assert_eq!((lines.len(), overlong), (0, 1));
    assert_eq!((splitter.line_start(), splitter.position()), (0, 1 << 20));
}

#[test]
fn finish_hands_over_the_rest_once() {
    let mut rest = Vec::new();
    let (_, _, mut splitter) = split(&[b"a\nrest"]);
    for _ in 0..2 {
        splitter.finish(&mut |piece| {
            if let Piece::Line { bytes, start, end } = piece {
                rest.push((bytes.to_vec(), start, end));
            }
        });
    }
    assert_eq!(rest, [(b"rest".to_vec(), 2, 6)]);
}

/// The lines that contain `!`, with their numbers; the number of all lines, and that of
/// overlong ones.
fn wanted(chunks: &[&[u8]]) -> (Vec<(u64, Vec<u8>)>, u64, usize) {
    let (mut found, mut lines, mut overlong) = (Vec::new(), 0, 0);
    let mut splitter = Splitter::from_offset(0);
    for chunk in chunks {
        let mut next = |at| memchr(b'!', &chunk[at..]).map(|found| at + found);
        splitter.feed_wanted(chunk, &mut next, &mut |piece| match piece {
            Piece::Line { bytes, start, end } => {
                lines += 1;
                assert!(end > start);
                if bytes.contains(&b'!') {
                    found.push((lines, bytes.to_vec()));
                }
            }
            Piece::Overlong => {
                lines += 1;
                overlong += 1;
            }
            Piece::Skipped { lines: skipped } => lines += skipped,
        });
    }
    let text = chunks.concat();
    let last = memrchr(b'\n', &text).map_or(0, |newline| newline + 1);
    assert_eq!(
        (splitter.line_start(), splitter.position()),
        (last as u64, text.len() as u64)
    );
    (found, lines, overlong)
}

#[test]
fn wanted_lines_have_the_numbers_that_they_have_among_all() {
    let longest = [b'x'; MAX_LINE];
    let text = [
        b"one\n!two\n\n\r\nf!ve!\r\n".as_slice(),
        &longest,
        b"\n",
        &longest,
        b"x\n!!\n",
        &longest,
        b"!\nten\n",
        &longest[..8],
        b"!\nrest!",
    ]
    .concat();
    let expected = [
        (2, &b"!two"[..]),
        (5, b"f!ve!"),
        (8, b"!!"),
        (11, b"xxxxxxxx!"),
    ]
    .map(|(number, line)| (number, line.to_vec()));
    for size in [1, 2, 3, 7, 4096, 8191, 8192, 8193, usize::MAX] {
        let chunks: Vec<&[u8]> = text.chunks(size).collect();
        let found = wanted(&chunks);
        assert_eq!(found, (expected.to_vec(), 11, 2), "portions of {size}");
    }
}

#[test]
fn unwanted_lines_are_not_handed_over() {
    let mut pieces = Vec::new();
    let mut splitter = Splitter::from_offset(0);
    splitter.feed_wanted(b"a\nb\nc\n", &mut |_| None, &mut |piece| {
        pieces.push(matches!(piece, Piece::Skipped { lines: 3 }));
    });
    assert_eq!(pieces, [true]);
}
