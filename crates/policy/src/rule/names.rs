//! Every name that a rule may use, with its kind and what it is.
//!
//! What always holds: money is in whole units of the campaign's currency, shares are 1 for all of it, days and hours are
//! local to the campaign. The handbook's table is held against this one by a test.

use rules::{Kind, Names};

/// A stretch of time that figures are taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// The last 60 minutes that are known.
    Hour,
    /// The last 24 hours that are known, by the hour.
    Hours24,
    /// The local day so far.
    Today,
    /// The local day before.
    Yesterday,
    /// The seven local days before today.
    #[default]
    Days7,
    /// The 28 local days before today.
    Days28,
    /// Since the flight began.
    Flight,
}

/// All windows, by their number.
pub const WINDOWS: [Window; 7] =
    [Window::Hour, Window::Hours24, Window::Today, Window::Yesterday, Window::Days7, Window::Days28, Window::Flight];

impl Window {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Window::Hour => "last_1h",
            Window::Hours24 => "last_24h",
            Window::Today => "today",
            Window::Yesterday => "yesterday",
            Window::Days7 => "last_7d",
            Window::Days28 => "last_28d",
            Window::Flight => "flight",
        }
    }

    /// The window of this name.
    pub fn parse(name: &str) -> Option<Window> {
        WINDOWS.into_iter().find(|window| window.name() == name)
    }

    /// The window that a name of a figure begins with.
    pub fn of_name(name: &str) -> Option<Window> {
        Window::parse(name.split_once('.')?.0)
    }
}

/// Figures of a window: name, what it is.
pub const FIGURES: [(&str, &str); 12] = [
    ("impressions", "Ads shown."),
    ("clicks", "Ads clicked."),
    ("spend", "Money spent, after corrections."),
    (
        "conversions",
        "Conversions of goal types, by the campaign's attribution model; those still to come are not in it.",
    ),
    ("value", "What they were worth."),
    ("ctr", "Clicks per impression."),
    ("cvr", "Conversions per click."),
    ("cpc", "Money per click."),
    ("cpm", "Money per thousand impressions."),
    ("cpa", "Money per conversion."),
    ("roas", "Value per money."),
    ("roi", "Gain per money: (value x margin - spend) / spend."),
];

/// All other names: name, kind, what it is.
pub const OTHERS: [(&str, Kind, &str); 26] = [
    ("account.id", Kind::Text, "Id of the account."),
    ("campaign.id", Kind::Text, "Id of the campaign."),
    ("campaign.name", Kind::Text, "Its name."),
    ("campaign.channel", Kind::Text, "search, social, display and so on."),
    ("campaign.platform", Kind::Text, "Its platform, absent where none is given."),
    ("campaign.currency", Kind::Text, "ISO 4217."),
    ("campaign.status", Kind::Text, "active, paused, ended."),
    ("campaign.mode", Kind::Text, "observe, approve, auto."),
    ("campaign.strategy", Kind::Text, "manual, max_clicks, target_cpa and so on."),
    ("campaign.paused", Kind::Bool, "Whether anybody holds it still."),
    ("target.cpa", Kind::Number, "The specification's target, absent without one."),
    ("target.roas", Kind::Number, "The specification's target, absent without one."),
    ("bid.now", Kind::Number, "The bid to reckon with: asked for last, confirmed, or the specification's."),
    ("bid.min", Kind::Number, "Lowest bid, absent where not given."),
    ("bid.max", Kind::Number, "Highest bid, absent where not given."),
    ("budget.day", Kind::Number, "Budget planned for the local day."),
    ("budget.left", Kind::Number, "What of it is neither spent nor on its way."),
    ("plan.by_now", Kind::Number, "What the plan has spent by now."),
    ("plan.share", Kind::Number, "Share of the day's plan that is over."),
    ("pace.word", Kind::Text, "ahead, on_plan, behind, paused, exhausted, unknown."),
    ("pace.ratio", Kind::Number, "Spent or on its way over what the plan has spent by now."),
    ("goal.chance", Kind::Number, "Chance that the campaign's goal is met in time, absent while it is not known."),
    ("hour", Kind::Whole, "Local hour, 0 to 23."),
    ("weekday", Kind::Text, "mon, tue, wed, thu, fri, sat, sun."),
    ("days.running", Kind::Whole, "Whole days since the first event."),
    ("days.left", Kind::Number, "Days to the flight's end, absent without one."),
];

/// `labels.NAME` or `labels["NAME"]`: any label of the campaign, absent where it has none of that name.
pub const LABELS: &str = "labels.";

/// The kind of a name.
pub fn kind_of(name: &str) -> Option<Kind> {
    if let Some(label) = name.strip_prefix(LABELS) {
        return (!label.is_empty()).then_some(Kind::Text);
    }
    if let Some((_, kind, _)) = OTHERS.iter().find(|(known, ..)| *known == name) {
        return Some(*kind);
    }
    let (window, figure) = name.split_once('.')?;
    Window::parse(window)?;
    FIGURES.iter().any(|(known, _)| *known == figure).then_some(Kind::Number)
}

/// All names but those of labels.
pub fn all() -> Vec<String> {
    let others = OTHERS.iter().map(|(name, ..)| (*name).to_owned());
    let figures =
        WINDOWS.iter().flat_map(|window| FIGURES.iter().map(move |(figure, _)| format!("{}.{figure}", window.name())));
    others.chain(figures).collect()
}

/// The names of rules, for the language.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary;

impl Names for Vocabulary {
    fn kind(&self, name: &str) -> Option<Kind> {
        kind_of(name)
    }

    fn all(&self) -> Vec<String> {
        all()
    }
}
