#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

use super::*;

const SCHEMA: Schema = Schema {
    application_id: 0x5344_7465,
    version: 7,
    tables: &["CREATE TABLE ours (id INTEGER, more INTEGER)"],
    upgrades: &[
        SchemaStep {
            from: 6,
            changes: &["ALTER TABLE ours ADD COLUMN more INTEGER"],
        },
        SchemaStep {
            from: 5,
            changes: &["ALTER TABLE theirs RENAME TO ours"],
        },
    ],
    remedy: "do this",
};
const WAIT: Duration = Duration::from_secs(5);

fn open(path: &Path) -> Result<Database> {
    Database::open(path, &SCHEMA, WAIT)
}

fn count(database: &Database, column: &str) -> i32 {
    let query = format!("SELECT count({column}) FROM ours");
    database
        .read(|db| Ok(db.query_row(&query, [], |row| row.get(0))?))
        .unwrap()
}

/// Creates a file with the table of this statement.
fn file(path: &Path, table: &str) -> Vec<u8> {
    let foreign = Connection::open(path).unwrap();
    foreign.execute_batch(table).unwrap();
    drop(foreign);
    fs::read(path).unwrap()
}

/// Creates a file of an older version, with the table of this statement.
fn old(path: &Path, version: i32, table: &str) {
    let db = Connection::open(path).unwrap();
    let id = SCHEMA.application_id;
    db.pragma_update(None, "application_id", id).unwrap();
    db.pragma_update(None, "user_version", version).unwrap();
    db.execute_batch(table).unwrap();
}

#[test]
fn an_older_file_is_upgraded_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    old(&path, 5, "CREATE TABLE theirs (id INTEGER)");
    for _ in 0..2 {
        assert_eq!(count(&open(&path).unwrap(), "more"), 0);
    }
    fs::remove_file(&path).unwrap();
    // The second step fails.
    old(&path, 5, "CREATE TABLE theirs (more INTEGER)");
    let bytes = fs::read(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert!(
        format!("{error:#}").contains("duplicate column name"),
        "{error:#}"
    );
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_reader_waits_for_no_writer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let mut writer = open(&path).unwrap();
    let change = |tx: &Transaction<'_>| {
        tx.execute("INSERT INTO ours VALUES (1, 2)", [])?;
        Ok(count(&open(&path)?, "*"))
    };
    assert_eq!(writer.change(change).unwrap(), 0);
}

/// The holder of the lock is another connection of this process. If the failed attempt
/// opened and closed the file itself, that would release the holder's lock.
#[test]
fn a_locked_file_is_waited_for_briefly_and_its_holder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    drop(open(&path).unwrap());
    let holder = Connection::open(&path).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let short = Duration::from_millis(50);
    let start = crate::clock::instant();
    let error = Database::open(&path, &SCHEMA, short).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(3));
    assert!(is_locked(&error), "{error:#}");
    let text = format!("{error:#}");
    let pid = format!("(pid {}); try again", std::process::id());
    assert!(text.contains(" is locked by "), "{text}");
    assert!(text.contains(&pid), "{text}");
    holder.execute_batch("ROLLBACK").unwrap();
    assert!(!is_locked(&Error::msg("locked")));
    open(&path).unwrap();
}

#[test]
fn a_file_of_others_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    drop(open(&path).unwrap());
    let mut newer = fs::read(&path).unwrap();
    // The version and the application id in the file's header.
    newer[60..64].copy_from_slice(&8_i32.to_be_bytes());
    let mut others = newer.clone();
    others[68..72].fill(1);
    fs::remove_file(&path).unwrap();
    for (bytes, reason) in [
        (
            newer,
            ": it has version 8, and this spamdrop reads version 7 and older; \
             install the newer spamdrop again, or move the file away",
        ),
        (others, ": it is not a file of spamdrop"),
        (
            file(&path, "CREATE TABLE mail (id INTEGER)"),
            ": it is not a file of spamdrop",
        ),
        (
            b"192.0.2.1\n".repeat(500),
            " (if it is damaged, do this): \
             file is not a database",
        ),
    ] {
        fs::write(&path, &bytes).unwrap();
        let error = format!("{:#}", open(&path).unwrap_err());
        let expected = format!("cannot use {}{reason}", path.display());
        assert!(error.starts_with(&expected), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    open(&path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn writers_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let write = || {
        for _ in 0..10 {
            let insert = "INSERT INTO ours VALUES (1, 2)";
            let change = |tx: &Transaction<'_>| Ok(tx.execute(insert, [])?);
            open(&path).unwrap().change(change).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(write);
        }
    });
    assert_eq!(count(&open(&path).unwrap(), "*"), 40);
}

#[test]
fn a_power_cut_does_not_undo_the_last_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(&dir.path().join("test.db")).unwrap();
    let level = "SELECT synchronous FROM pragma_synchronous";
    let level: i32 = database
        .read(|db| Ok(db.query_row(level, [], |row| row.get(0))?))
        .unwrap();
    // EXTRA: the directory is synced after the journal is removed.
    assert_eq!(level, 3);
}
