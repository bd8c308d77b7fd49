//! Aligned columns for people. A cell is one line: what would move the cursor is escaped.

use std::{
    borrow::Cow,
    fmt::{self, Display},
};

/// Rows whose columns are as wide as their widest cell.
#[derive(Debug, Default)]
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// Adds a row.
    pub fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.0.push(cells.into_iter().map(|cell| visible(cell.as_ref()).into_owned()).collect());
    }

    /// Adds a row unless its value is empty.
    pub fn row_if_any(&mut self, label: &str, value: &str) {
        if !value.is_empty() {
            self.row([label, value]);
        }
    }

    fn width(&self, column: usize) -> usize {
        self.0.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

/// Lines without a newline at the end and without spaces at theirs.
impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, row) in self.0.iter().enumerate() {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                line.push_str(cell);
                let gap = self.width(column) - cell.chars().count() + GAP;
                line.extend(std::iter::repeat_n(' ', gap));
            }
            let newline = if at == 0 { "" } else { "\n" };
            write!(f, "{newline}{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Spaces between columns.
const GAP: usize = 3;

/// The text with control characters escaped: what a server sends shall not move the cursor.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_spaces() {
        let mut table = Table::default();
        table.row(["slot", "fate", "why"]);
        table.row(["success", "", ""]);
        table.row(["é", "chosen", "x"]);
        expect![[r#"
            slot      fate     why
            success
            é         chosen   x"#]]
        .assert_eq(&table.to_string());
    }

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(visible("a\u{1b}[2Jb\r\nç"), "a\\u{1b}[2Jb\\r\\nç");
    }
}
