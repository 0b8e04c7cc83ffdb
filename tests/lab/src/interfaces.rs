//! The guide's table of interfaces, which tests compare with the running kernel.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};

/// The page is compiled into the tests, because they also run in virtual machines that
/// do not have the repository.
const PAGE: &str = include_str!("../../../spamdrop/docs/interfaces.md");

/// The header of the table; the second and the third column are each for one range of
/// kernel versions.
const HEADER: &str =
    "| interface | Linux 6.1 | Linux 6.12 and newer | packets of a blocked sender |";

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The kind of interface.
    pub interface: String,
    /// How the filter is attached, for each of the two ranges of kernel versions:
    /// `native`, `generic` or `refused`.
    attached: [String; 2],
    /// The fate of a blocked sender's packets: `dropped` or `passed`.
    pub fate: String,
}

/// Compares what was seen on the running kernel with the guide.
///
/// # Errors
///
/// The guide has no row `interface` or no column for this kernel, or it says otherwise.
pub fn ensure_true(interface: &str, attached: &str, fate: &str) -> Result<()> {
    let rows = rows()?;
    let row = rows.iter().find(|row| row.interface == interface);
    let row = row.with_context(|| format!("interfaces.md has no row `{interface}`"))?;
    let column = column(&kernel()?)?;
    let said = (row.attached[column].as_str(), row.fate.as_str());
    ensure!(
        said == (attached, fate),
        "interfaces.md says of {interface}: {said:?}; seen: {:?}",
        (attached, fate)
    );
    Ok(())
}

/// The rows of the table.
///
/// # Errors
///
/// The guide has no such table, or a row does not have four cells.
pub fn rows() -> Result<Vec<Row>> {
    let after = PAGE.split_once(HEADER);
    let (_, table) = after.with_context(|| format!("interfaces.md has no `{HEADER}`"))?;
    let lines = table.lines().skip(2);
    lines
        .take_while(|line| line.starts_with('|'))
        .map(row)
        .collect()
}

fn row(line: &str) -> Result<Row> {
    let cells: Vec<_> = line.split('|').map(str::trim).collect();
    let ["", interface, old, new, fate, ""] = cells[..] else {
        bail!("interfaces.md: not a row of four cells: {line}");
    };
    Ok(Row {
        interface: interface.replace('`', ""),
        attached: [old.into(), new.into()],
        fate: fate.into(),
    })
}

/// The link types, such as `PPP`, in the first cell of a row of the guide's table of
/// link types. It is the row whose second cell starts with `begin_with`.
///
/// # Errors
///
/// The guide has no such row.
pub fn link_types(begin_with: &str) -> Result<Vec<String>> {
    let mut rows = PAGE.lines().filter_map(|line| {
        let (types, begin) = line.strip_prefix('|')?.split_once('|')?;
        begin.trim_start().starts_with(begin_with).then_some(types)
    });
    let types = rows.next();
    let types = types.with_context(|| format!("interfaces.md has no row `{begin_with}`"))?;
    Ok(types
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect())
}

/// The release of the running kernel, such as `6.1.0-57-amd64`.
///
/// # Errors
///
/// `/proc` is not mounted.
pub fn kernel() -> Result<String> {
    let path = "/proc/sys/kernel/osrelease";
    Ok(fs::read_to_string(path).context(path)?.trim_end().into())
}

fn column(release: &str) -> Result<usize> {
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(6)), Some(Ok(1))) => Ok(0),
        (Some(Ok(6)), Some(Ok(12..))) | (Some(Ok(7..)), _) => Ok(1),
        _ => bail!("interfaces.md has no column for Linux {release}"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn every_row_has_known_words() {
        let rows = rows().unwrap();
        assert!(rows.len() > 10, "{rows:?}");
        for row in rows {
            for attached in &row.attached {
                let attached = attached.as_str();
                assert!(
                    ["native", "generic", "refused"].contains(&attached),
                    "{row:?}"
                );
            }
            assert!(
                ["dropped", "passed"].contains(&row.fate.as_str()),
                "{row:?}"
            );
        }
    }

    #[test]
    fn a_kernel_has_its_column() {
        for (release, expected) in [
            ("6.1.0-57-amd64", Some(0)),
            ("6.6.1", None),
            ("6.12.117+deb12-amd64", Some(1)),
            ("6.18.44", Some(1)),
            ("7.3-rc1", Some(1)),
        ] {
            assert_eq!(column(release).ok(), expected, "{release}");
        }
    }
}
