//! Columns that line up.

/// Rows of words; the first column is aligned to the left, all others to the right.
#[derive(Default, Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn row<S: Into<String>>(&mut self, words: impl IntoIterator<Item = S>) {
        self.rows.push(words.into_iter().map(Into::into).collect());
    }

    /// The lines, each set in by two spaces, without spaces at their ends.
    pub(super) fn lines(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |at: usize| self.rows.iter().filter_map(|row| row.get(at)).map(|word| word.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::from("  ");
            for (at, (word, width)) in row.iter().zip(&widths).enumerate() {
                if at == 0 {
                    line.push_str(&format!("{word:<width$}"));
                } else {
                    line.push_str(&format!("  {word:>width$}"));
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_line_up_whatever_their_width() {
        let mut table = Table::default();
        table.row(["step", "count", "p50"]);
        table.row(["submit", "12,345", "1.2 ms"]);
        table.row(["pay", "7", "12 \u{b5}s"]);
        assert_eq!(
            table.lines(),
            "  step     count     p50\n  submit  12,345  1.2 ms\n  pay          7   12 \u{b5}s\n"
        );
    }
}
