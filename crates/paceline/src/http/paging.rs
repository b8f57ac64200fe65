//! Pages of lists: a limit, and a cursor that says where the next page begins.

use super::problem::Problem;

/// A page unless another size is asked for.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 500;

/// One page of a list, the number of entries of all pages, and the cursor of the next.
pub struct Page<T> {
    /// Entries of this page.
    pub items: Vec<T>,
    /// Entries of all pages.
    pub total: usize,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// Cuts a page out of a list.
pub fn page<T>(all: Vec<T>, limit: Option<usize>, cursor: Option<&str>) -> Result<Page<T>, Problem> {
    let limit = limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad(format!("limit: {limit} is not between 1 and {LIMIT_MAX}")));
    }
    let start = match cursor {
        None => 0,
        Some(text) => text
            .strip_prefix('o')
            .and_then(|text| text.parse::<usize>().ok())
            .ok_or_else(|| Problem::bad("cursor: use `next` of the page before, unchanged"))?,
    };
    let total = all.len();
    let end = start.saturating_add(limit);
    let items = all.into_iter().skip(start).take(limit).collect();
    Ok(Page { items, total, next: (end < total).then(|| format!("o{end}")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_overlap() {
        let all: Vec<u32> = (0..7).collect();
        let first = page(all.clone(), Some(4), None).unwrap();
        let second = page(all.clone(), Some(4), first.next.as_deref()).unwrap();
        assert_eq!((first.items, second.items, second.next), (vec![0, 1, 2, 3], vec![4, 5, 6], None));
        assert!(page(all.clone(), Some(0), None).is_err() && page(all, None, Some("x")).is_err());
    }
}
