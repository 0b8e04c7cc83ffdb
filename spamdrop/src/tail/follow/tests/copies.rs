//! Copies of a log, and logs that an administrator has edited.

use std::os::unix::fs::MetadataExt as _;

use super::*;

#[test]
fn a_copy_with_a_new_inode_is_not_read_again() {
    let mut bench = Bench::with_mail();
    for n in 10..16 {
        bench.edit(|lines| lines);
        bench.mail("log", [n]);
        assert_eq!(bench.lines(), [mail(n)]);
        assert_eq!(bench.lines(), NONE);
    }
    assert_eq!(bench.status().rotations, 6);
    bench.restart(|bench| {
        bench.edit(|lines| lines);
        bench.mail("log", [16]);
    });
    assert_eq!(bench.lines(), [mail(16)]);
}

/// The truncated file has grown beyond its old size before the first read.
#[test]
fn a_copy_that_is_copied_and_truncated_before_it_is_searched_is_read_behind_the_known_lines() {
    let mut bench = Bench::with_mail();
    bench.restart(|bench| {
        bench.edit(|lines| lines);
        bench.mail("log", [10]);
    });
    fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
    bench.open("log").set_len(0).unwrap();
    bench.mail("log", 11..40);
    let expected: Vec<String> = (10..40).map(mail).collect();
    assert_eq!(bench.lines(), expected);
    assert_eq!(bench.lines(), NONE);
}

/// The second copy has the inode number of the log that was read last.
#[test]
fn a_copy_with_the_inode_number_of_the_original_is_not_read_again() {
    let mut bench = Bench::started();
    bench.append("log", &mail(1));
    assert_eq!(bench.lines(), NONE);
    let inode = |bench: &Bench| fs::metadata(bench.path("log")).unwrap().ino();
    let first = inode(&bench);
    bench.restart(|bench| {
        bench.append("log", "\n");
        bench.edit(|lines| lines);
    });
    // A file system gives the number of a removed file to another, some only later.
    for _ in 0..1_000 {
        if inode(&bench) == first {
            break;
        }
        bench.edit(|lines| lines);
    }
    bench.mail("log", [2]);
    let mut lines = bench.lines();
    bench.pass(5);
    lines.extend(bench.lines());
    assert_eq!(lines, mails([1, 2]));
}

/// The copy's writer opened the copy while it was at the path.
#[test]
fn a_copy_that_is_rotated_before_it_is_seen_is_read_on() {
    let mut bench = Bench::with_mail();
    bench.edit(|lines| lines);
    bench.rename("log", "log.1");
    bench.append("log", "");
    assert_eq!(bench.lines(), NONE);
    bench.mail("log.1", [10]);
    bench.mail("log", [11]);
    assert_eq!(bench.settled_lines(), mails([10, 11]));
}

#[test]
fn an_unfinished_line_is_finished_in_the_copy() {
    let mut bench = Bench::with_mail();
    bench.append("log", "begun");
    assert_eq!(bench.lines(), NONE);
    bench.edit(|lines| lines);
    bench.append("log", " and ended\n");
    assert_eq!(bench.lines(), ["begun and ended"]);
    for _ in 0..3 {
        bench.pass(5);
        assert_eq!(bench.lines(), NONE);
    }
}

#[test]
fn short_lines_after_a_long_one_are_no_truncation() {
    let mut bench = Bench::with_mail();
    for n in 0..4 {
        bench.append("log", &format!("{n}\n"));
        assert_eq!(bench.lines(), [n.to_string()]);
    }
    bench.restart(|bench| bench.append("log", "4\n"));
    assert_eq!(bench.lines(), ["4"]);
    assert_eq!(bench.status().truncations, 0);
}

#[test]
fn equal_long_lines_are_not_taken_for_each_other() {
    let overlong = "y".repeat(2_000);
    let mut bench = Bench::with_mail();
    bench.append("log", &format!("1 {overlong}\n"));
    assert_eq!(bench.lines().len(), 1);
    bench.rename("log", "log.1");
    bench.mail("log", [11]);
    bench.append("log", &format!("2 {overlong}\n"));
    assert_eq!(bench.lines().len(), 2);
}

/// A change of a log by an administrator.
type Edit = fn(Vec<&str>) -> Vec<&str>;

const EDITS: [(&str, Edit); 8] = [
    ("last line but one removed", |lines| {
        [&lines[..8], &lines[9..]].concat()
    }),
    ("every second line removed", |lines| {
        lines.into_iter().step_by(2).collect()
    }),
    ("first lines removed", |lines| lines[4..].to_vec()),
    ("middle lines removed", |lines| {
        [&lines[..3], &lines[5..]].concat()
    }),
    ("last line removed", |lines| lines[..9].to_vec()),
    ("last lines removed", |lines| lines[..4].to_vec()),
    ("most lines removed", |lines| lines[7..9].to_vec()),
    ("a line added in front", |lines| {
        [&["by hand\n"], &lines[..]].concat()
    }),
];

#[test]
fn an_edited_copy_continues_behind_the_last_known_line() {
    for (name, edit) in EDITS {
        let mut bench = Bench::with_mail();
        bench.edit(edit);
        bench.mail("log", [10]);
        assert_eq!(bench.settled_lines(), [mail(10)], "{name}");
        bench.mail("log", [11]);
        assert_eq!(bench.settled_lines(), [mail(11)], "{name}");
    }
}

#[test]
fn a_log_that_was_edited_while_nobody_read_it_continues_too() {
    for (name, edit) in EDITS {
        let mut bench = Bench::with_mail();
        bench.restart(|bench| {
            bench.edit(edit);
            bench.mail("log", [10]);
        });
        assert_eq!(bench.settled_lines(), [mail(10)], "{name}");
    }
}

#[test]
fn a_log_that_is_rewritten_in_place_continues() {
    for (name, edit) in EDITS {
        let mut bench = Bench::with_mail();
        let text = fs::read_to_string(bench.path("log")).unwrap();
        let text = edit(text.split_inclusive('\n').collect()).concat();
        let (first, rest) = text.split_at(text.len() / 2);
        bench.open("log").set_len(0).unwrap();
        assert_eq!(bench.lines(), NONE, "{name}");
        bench.append("log", first);
        let early = bench.lines();
        bench.append("log", rest);
        bench.mail("log", [10]);
        // If the first lines were edited, lines count as new until a known one comes.
        let begins_otherwise =
            name.contains("first") || name.contains("most") || name.contains("front");
        assert!(begins_otherwise || early.is_empty(), "{name}: {early:?}");
        if early.is_empty() {
            assert_eq!(bench.settled_lines(), [mail(10)], "{name}");
        }
    }
}

#[test]
fn lines_of_the_original_that_its_copy_lacks_do_not_repeat_the_others() {
    let mut bench = Bench::with_mail();
    fs::copy(bench.path("log"), bench.path("copy")).unwrap();
    bench.mail("log", 10..13);
    bench.mail("copy", [13]);
    bench.rename("copy", "log");
    assert_eq!(bench.lines(), mails(10..13));
    bench.pass(1);
    assert_eq!(bench.lines(), [mail(13)]);
}

#[test]
fn writers_of_the_original_are_read_after_the_copy_came() {
    let mut bench = Bench::with_mail();
    let writer = bench.open("log");
    bench.edit(|lines| lines);
    assert_eq!(bench.lines(), NONE);
    append(&writer, "late\n");
    bench.mail("log", [10]);
    assert_eq!(bench.lines(), ["late".to_owned(), mail(10)]);
}

#[test]
fn an_old_state_of_the_log_is_not_read_again() {
    let mut bench = Bench::started();
    bench.mail("log", 0..5);
    assert_eq!(bench.lines().len(), 5);
    fs::copy(bench.path("log"), bench.path("backup")).unwrap();
    // More lines than are remembered.
    bench.mail("log", 5..2_000);
    assert_eq!(bench.lines().len(), 1_995);
    bench.rename("backup", "log");
    assert_eq!(bench.settled_lines(), NONE);
    bench.mail("log", [2_000]);
    assert_eq!(bench.lines(), [mail(2_000)]);
}

#[test]
fn a_log_that_grows_all_the_time_is_not_awaited_for_ever() {
    let mut bench = Bench::with_mail();
    bench.edit(|lines| lines[..9].to_vec());
    let mut lines = Vec::new();
    for n in 10..20 {
        bench.mail("log", [n]);
        lines.extend(bench.lines());
        bench.now += Duration::from_millis(900);
    }
    assert_eq!(lines, mails(10..20));
}

#[test]
fn a_new_log_is_read_at_once() {
    let mut bench = Bench::with_mail();
    bench.rename("log", "log.1");
    bench.mail("log", 10..20);
    assert_eq!(bench.lines(), mails(10..20));
    bench.restart(|bench| {
        bench.rename("log.1", "log.2");
        bench.rename("log", "log.1");
        bench.mail("log", 20..30);
    });
    assert_eq!(bench.lines(), mails(20..30));
}
