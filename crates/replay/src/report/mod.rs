//! A run as one page: for a person who was not there.
//!
//! What always holds: one file, no script, nothing loaded from anywhere; light, dark and print by the reader's own
//! settings; its size is bounded whatever the run's; what is left out for size is said where it is left out. Colour never
//! carries meaning alone: marks have shapes, figures have words.

mod chart;
mod decided;
mod sections;
mod words;

pub use words::{bounds, change_words, instant, money, percent};

use crate::compare::Comparison;
use crate::figures::Figures;
use crate::summary::About;
use std::fmt::Write;

/// The page.
pub fn html(figures: &Figures, about: &About, comparison: Option<&Comparison>) -> String {
    let mut page = String::with_capacity(PAGE_BYTES_USUAL);
    page.push_str(HEAD);
    let title = sections::title(about);
    let _ = write!(page, "<title>Paceline: {}</title>", words::escape(&title));
    page.push_str("<style>");
    page.push_str(STYLE);
    page.push_str("</style></head><body>");
    for section in [
        sections::head(figures, about),
        sections::totals(figures),
        sections::spend(figures),
        comparison.map_or_else(String::new, |comparison| sections::comparison(figures, comparison)),
        sections::campaigns(figures),
        decided::time_line(figures),
        decided::commands(figures),
        decided::budgets(figures),
        decided::guard(figures),
        decided::alerts(figures),
        sections::experiments(figures),
        sections::quality(figures, about),
        sections::limits(figures, about, comparison),
    ] {
        page.push_str(&section);
    }
    page.push_str("</body></html>\n");
    page
}

const PAGE_BYTES_USUAL: usize = 1 << 18;

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">";

const STYLE: &str = include_str!("style.css");
