//! The names that rotation gives, and compressed logs.

use super::*;

const ROTATED: [&str; 12] = [
    "log.0",
    "log.1",
    "log.01",
    "log-20261128",
    "log.2026-11-28",
    "log-20261128-1795424400",
    "log.0.gz",
    "log.1.gz",
    "log.1.xz",
    "log.1.zst",
    "log-20261128.gz",
    "log.2026-11-28.xz",
];

#[test]
fn every_rotated_name_is_found_after_a_restart() {
    for name in ROTATED {
        let mut bench = Bench::with_mail();
        bench.append("log.7.gz", "no gzip");
        // Names of different kinds are compared by their times, and a file
        // system's clock may stand still for some milliseconds.
        let old = File::open(bench.path("log.7.gz")).unwrap();
        old.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        bench.restart(|bench| {
            bench.mail("log", [10]);
            match name.rsplit('.').next() {
                Some("gz" | "xz" | "zst") => bench.compress("log", name),
                _ => bench.rename("log", name),
            }
            bench.mail("log", [11]);
        });
        let lines = bench.full_lines();
        let expected = [(mail(10), true), (mail(11), true)];
        assert_eq!(lines, expected, "{name}");
        bench.pass(5);
        assert_eq!(bench.lines(), NONE, "{name}");
        // The rotated file is not read again.
        bench.restart(|_| ());
        assert_eq!(bench.lines(), NONE, "{name}");
    }
}

#[test]
fn several_rotations_are_found_in_their_order() {
    let mut bench = Bench::with_mail();
    bench.restart(|bench| {
        bench.mail("log", [10]);
        bench.compress("log", "log.3.gz");
        bench.mail("log", [11]);
        bench.compress("log", "log.2.gz");
        bench.mail("log.1", [12]);
        // While it is compressed, a file has two names.
        fs::write(bench.path("log.1.gz"), packed(mail(12).as_bytes(), "gz")).unwrap();
        bench.mail("log", [13]);
    });
    assert_eq!(bench.lines(), mails(10..14));
}

#[test]
fn a_rotated_file_that_is_compressed_later_is_not_read_again() {
    let mut bench = Bench::with_mail();
    bench.rename("log", "log.1");
    bench.mail("log", 10..12);
    assert_eq!(bench.lines(), mails(10..12));
    bench.pass(5);
    assert_eq!(bench.lines(), NONE);
    bench.compress("log.1", "log.2.gz");
    bench.rename("log", "log.1");
    bench.mail("log", [12]);
    assert_eq!(bench.lines(), [mail(12)]);
    // The compressed file is not even decompressed.
    assert!(!bench.follower().open.iter().any(OpenFile::is_packed));
    // A file that is compressed as soon as it is rotated is not decompressed, either.
    bench.rename("log", "log.1");
    bench.compress("log.1", "log.1.gz");
    bench.mail("log", [13]);
    assert_eq!(bench.lines(), [mail(13)]);
    assert!(!bench.follower().open.iter().any(OpenFile::is_packed));
}

#[test]
fn a_copy_is_found_although_it_is_compressed_at_once() {
    let mut bench = Bench::with_mail();
    bench.mail("log", [10]);
    bench.copytruncate("log.1");
    bench.compress("log.1", "log.1.gz");
    bench.mail("log", [11]);
    assert_eq!(bench.lines(), mails(10..12));
}

#[test]
fn damage_ends_a_compressed_file_and_no_other() {
    let mut bench = Bench::started();
    bench.mail("log", 0..200);
    assert_eq!(bench.lines().len(), 200);
    bench.restart(|bench| {
        bench.mail("log", 200..5_000);
        bench.compress("log", "log.1.gz");
        let bytes = fs::read(bench.path("log.1.gz")).unwrap();
        fs::write(bench.path("log.1.gz"), &bytes[..bytes.len() - 9]).unwrap();
        bench.mail("log", [5_000]);
    });
    let lines = bench.lines();
    assert_eq!(lines.first(), Some(&mail(200)));
    assert_eq!(lines.last(), Some(&mail(5_000)));
}

#[test]
fn a_search_and_a_decompression_are_as_bounded_as_a_read() {
    for compressed in [true, false] {
        let mut bench = Bench::started();
        bench.mail("log", 0..1_000);
        assert_eq!(bench.lines().len(), 1_000);
        bench.restart(|bench| {
            bench.mail("log", [1_000]);
            if compressed {
                bench.compress("log", "log.1.zst");
            } else {
                bench.edit(|lines| lines[1..].to_vec());
            }
        });
        bench.follower().look();
        let (mut lines, mut reads, now) = (0, 0, bench.now);
        while bench
            .follower()
            .read(now, &mut [0; 4096], &mut |_| lines += 1)
            > 0
        {
            reads += 1;
        }
        assert_eq!(lines, 1);
        assert!(reads > 20, "{reads}");
    }
}
