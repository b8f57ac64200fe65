//! The parts of the page, top-down as it is read.

use super::chart;
use super::words::*;
use crate::compare::{Change, Comparison};
use crate::figures::{Campaign, Figures, Name, Words};
use crate::summary::{About, Sums, limits as limits_of, quality_lines, totals as totals_of, words};
use model::journal::EpochCounts;
use model::time::{DAY_MS, Millis};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Campaigns that get a line of their own: a line is about 1 kB.
const CAMPAIGNS_MAX: usize = 1_200;
/// Lines of smaller lists.
pub(super) const LINES_MAX: usize = 40;

/// What the run was.
pub fn head(figures: &Figures, about: &About) -> String {
    let range = figures.range();
    let title = title(about);
    let when = range.map_or("no record".into(), |(first, last)| {
        format!("{} to {} UTC, {}", instant(first), instant(last), span(last - first))
    });
    let records: u64 = figures.spans.iter().map(|span| span.records).sum();
    let deltas: u64 = figures.spans.iter().map(|span| span.deltas).sum();
    let versions: Vec<String> = figures
        .policy_versions
        .keys()
        .map(|version| match version {
            0 => "built-in".into(),
            version if *version == crate::GIVEN_VERSION => "the given file".into(),
            version => format!("version {version}"),
        })
        .collect();
    let mut tags = vec![
        format!("{} campaigns", whole(figures.campaigns.len() as i64)),
        format!("{} journal records, {} rows", whole(records as i64), whole(deltas as i64)),
        format!("{} partitions of {}", figures.spans.len(), about.journal),
        format!("policy: {}", versions.join(", ")),
        format!("build {}", about.build),
        format!("time zones {}", about.tzdb),
    ];
    if !about.accounts.is_empty() {
        tags.insert(0, format!("account {}", about.accounts.join(", ")));
    }
    let tags: String = tags.iter().map(|tag| format!("<span class=\"tag\">{}</span>", escape(tag))).collect();
    let links: String = [
        ("spend", "Spend and plan"),
        ("campaigns", "Campaigns"),
        ("time", "Time line"),
        ("commands", "Commands"),
        ("budgets", "Budget moves"),
        ("guard", "Guard"),
        ("alerts", "Alerts"),
        ("quality", "Data quality"),
        ("limits", "Limits"),
    ]
    .iter()
    .map(|(id, name)| format!("<a href=\"#{id}\">{name}</a>"))
    .collect();
    format!("<header><h1>{}</h1><p class=\"lead\">{when}</p>{tags}<nav>{links}</nav></header>", escape(&title))
}

/// What the page is called.
pub fn title(about: &About) -> String {
    match (&about.title, &about.policy_file) {
        (Some(title), _) => title.clone(),
        (None, _) if about.is_report => "Spend, results and what was decided".into(),
        (None, Some(file)) => format!("Replay under {file}"),
        (None, None) if about.is_events => "Recorded events through both stages".into(),
        (None, None) => "Replay under the recorded policy".into(),
    }
}

/// The figures that are asked for first, by currency.
pub fn totals(figures: &Figures) -> String {
    let issued: u64 = words(figures, |campaign| &campaign.kinds).values().sum();
    let proposals: u64 = words(figures, |campaign| &campaign.proposals).values().sum();
    let opened: u64 = figures.opened.values().sum();
    let mut page = String::new();
    for (currency, sums) in &totals_of(figures) {
        let none = || "\u{2013}".to_owned();
        let planned = match sums.planned_days {
            0 => "of plan: no day had one".to_owned(),
            _ => format!("of the {} planned", money(sums.plan_micros)),
        };
        let shown = [
            (money(sums.spend_micros), format!("{currency} spent")),
            (sums.plan_ratio_ppm().map_or_else(none, percent), planned),
            (whole(sums.clicks), format!("clicks, {} each", sums.cpc_micros().map_or_else(none, money))),
            (conversions(sums.conversions_micro), "conversions".to_owned()),
            (sums.cpa_micros().map_or_else(none, money), "cost of a conversion".to_owned()),
            (sums.roas_ppm().map_or_else(none, times), "value over spend".to_owned()),
        ];
        page += &tiles(&shown);
    }
    page += &tiles(&[
        (whole(issued as i64), "commands issued".to_owned()),
        (whole(proposals as i64), "states of proposals".to_owned()),
        (whole(opened as i64), format!("alerts, {} open at the end", figures.still_open)),
        (
            whole(words(figures, |campaign| &campaign.guard_edits).values().sum::<u64>() as i64),
            "edits by the guard".into(),
        ),
    ]);
    page
}

fn tiles(shown: &[(String, String)]) -> String {
    let tiles = shown.iter().map(|(value, name)| {
        format!("<div class=\"tile\"><b>{}</b><span>{}</span></div>", escape(value), escape(name))
    });
    format!("<div class=\"tiles\">{}</div>", tiles.collect::<String>())
}

/// Spend against plan: through the days, and by day.
pub fn spend(figures: &Figures) -> String {
    let mut page = heading(
        "spend",
        "Spend against plan",
        "Through the day: what all campaigns with a plan had spent of their local days, beside what their plans had spent \
         by then. By day: each local day's spend and its plan; days that are open at the end are pale.",
    );
    let key = "<div class=\"key\"><span><svg width=\"18\" height=\"8\"><path class=\"s\" d=\"M0 4H18\"/></svg>spend</span>\
               <span><svg width=\"18\" height=\"8\"><path class=\"p\" d=\"M0 4H18\"/></svg>plan</span></div>";
    for (currency, sums) in totals_of(figures) {
        let through = figures.samples.get(&currency).filter(|series| series.len() > 1);
        let through = through.map(|series| chart::spend_of_days(series, &currency)).unwrap_or_default();
        let days = by_day(figures, &currency);
        let columns = if days.len() > 1 { chart::days(&days, &currency) } else { String::new() };
        if through.is_empty() && columns.is_empty() {
            let spent = money(sums.spend_micros);
            let _ = write!(page, "<p>{spent} {} spent; no campaign has a plan yet.</p>", escape(&currency));
            continue;
        }
        let _ = write!(page, "<div class=\"card\">{through}{columns}{key}</div>");
    }
    page
}

/// Spend, plan and whether the day is open, of all campaigns of a currency, by the UTC day of the local day's middle.
fn by_day(figures: &Figures, currency: &str) -> BTreeMap<Millis, (i64, Option<i64>, bool)> {
    let mut days: BTreeMap<Millis, (i64, Option<i64>, bool)> = BTreeMap::new();
    for campaign in figures.campaigns.values().filter(|campaign| campaign.spec.currency == currency) {
        for (start, window) in &campaign.days {
            let middle = start.saturating_add(DAY_MS / 2).div_euclid(DAY_MS) * DAY_MS;
            let day = days.entry(middle).or_default();
            day.0 = day.0.saturating_add(window.spend_micros);
            day.1 = match (day.1, window.plan_micros) {
                (sum, None) => sum,
                (sum, Some(plan)) => Some(sum.unwrap_or(0).saturating_add(plan)),
            };
            day.2 |= window.is_open;
        }
    }
    days
}

/// What the other run did otherwise.
pub fn comparison(figures: &Figures, comparison: &Comparison) -> String {
    let lead = format!(
        "This run beside {}. Recorded spend is split by how this run's values stood in each hour; the bounds are what \
         follows from that and no more.",
        comparison.baseline
    );
    let mut page = heading("compare", "Compared with another run", &lead);
    let head = "<tr><th>Campaign</th><th class=n>Commands</th><th class=n>Alerts</th><th class=n>Paused</th>\
                <th class=n>Recorded</th><th class=n>Same</th><th class=n>Below</th><th class=n>Above</th>\
                <th class=n>Both</th><th>Spend under this run\u{2019}s commands</th></tr>";
    let mut lines = String::new();
    for change in comparison.totals().values() {
        lines += &change_line(&format!("All in {}", escape(&change.currency)), change, comparison.is_identified);
    }
    let mut changed: Vec<(&Name, &Change)> =
        comparison.campaigns.iter().filter(|(_, change)| !change.is_same()).collect();
    let moved =
        |change: &Change| change.below_micros.saturating_add(change.above_micros).saturating_add(change.mixed_micros);
    changed.sort_by(|a, b| (moved(b.1), a.0).cmp(&(moved(a.1), b.0)));
    for (name, change) in changed.iter().take(LINES_MAX) {
        lines += &change_line(&campaign_name(figures, name), change, comparison.is_identified);
    }
    let _ = write!(page, "<div class=\"card\"><table><thead>{head}</thead><tbody>{lines}</tbody></table></div>");
    let same = comparison.campaigns.len() - changed.len();
    let _ = write!(
        page,
        "<p class=\"soft\">{} campaigns change, {same} do not.{}</p>",
        changed.len(),
        left_out(changed.len(), LINES_MAX)
    );
    page + &list(&comparison.limits())
}

fn change_line(name: &str, change: &Change, is_identified: bool) -> String {
    let [before, after] = change.paused_ms;
    let spend = if is_identified { bounds(change) } else { "not identified".into() };
    format!(
        "<tr><td>{name}</td><td class=n>{} \u{2192} {}</td><td class=n>{} \u{2192} {}</td><td class=n>{} \u{2192} {}</td>\
         <td class=n>{}</td><td class=n>{}</td><td class=n>{}</td><td class=n>{}</td><td class=n>{}</td><td>{spend}</td></tr>",
        change.commands[0],
        change.commands[1],
        change.alerts[0],
        change.alerts[1],
        span(before),
        span(after),
        money(change.recorded_micros()),
        money(change.same_micros),
        money(change.below_micros),
        money(change.above_micros),
        money(change.mixed_micros),
    )
}

/// Every campaign: what it spent of its plan, what it reached of its target.
pub fn campaigns(figures: &Figures) -> String {
    let mut page = heading(
        "campaigns",
        "Campaigns: spend against plan, KPIs against targets",
        "By spend. The bar is spend over plan, of days that had one, and its mark is the whole plan; the line is spend by \
         day, or by hour where there are few days. Conversions are those known when the journal ends.",
    );
    let named = by_weight(figures);
    let head = "<tr><th>Campaign</th><th>Spend</th><th class=n>Spent</th><th>Of plan</th><th class=n>Clicks</th>\
                <th class=n>CPC</th><th class=n>Conv.</th><th class=n>CPA</th><th class=n>ROAS</th><th>Target</th>\
                <th class=n>Commands</th><th>Last pace, bound by</th></tr>";
    let lines: String =
        named.iter().take(CAMPAIGNS_MAX).map(|(name, campaign, sums)| campaign_line(name, campaign, sums)).collect();
    let _ = write!(page, "<div class=\"card\"><table><thead>{head}</thead><tbody>{lines}</tbody></table></div>");
    page + &left_out(named.len(), CAMPAIGNS_MAX)
}

fn campaign_line(name: &Name, campaign: &Campaign, sums: &Sums) -> String {
    let none = || "\u{2013}".to_owned();
    let spec = &campaign.spec;
    let windows = if campaign.days.len() > 4 { &campaign.days } else { &campaign.hours };
    let plan = sums.plan_ratio_ppm();
    let commands: u64 = campaign.kinds.values().sum();
    let last = campaign.hours.values().next_back();
    let stands = last.map_or_else(none, |hour| format!("{}, {}", spoken(&hour.pace), spoken(&hour.binding)));
    format!(
        "<tr><td>{}<small>{} \u{b7} {}</small></td><td>{}</td><td class=n>{} {}</td><td class=w>{}{}</td><td class=n>{}</td>\
         <td class=n>{}</td><td class=n>{}</td><td class=n>{}</td><td class=n>{}</td><td>{}</td><td class=n>{}</td>\
         <td>{stands}</td></tr>",
        escape(label(name, campaign)),
        escape(&name.0),
        escape(&spec.mode),
        chart::spark(windows),
        money(sums.spend_micros),
        escape(&spec.currency),
        plan.map(chart::meter).unwrap_or_default(),
        plan.map_or_else(none, percent),
        whole(sums.clicks),
        sums.cpc_micros().map_or_else(none, money),
        conversions(sums.conversions_micro),
        sums.cpa_micros().map_or_else(none, money),
        sums.roas_ppm().map_or_else(none, times),
        target(campaign, sums),
        whole(commands as i64),
    )
}

/// The target, and how far what was reached is from it; a goal that was missed is said in words.
fn target(campaign: &Campaign, sums: &Sums) -> String {
    let spec = &campaign.spec;
    let said = |target: String, over: Option<i64>, is_cost: bool| {
        let Some(ppm) = over else { return format!("{target}<small>nothing to compare</small>") };
        let is_good = if is_cost { ppm <= 1_000_000 } else { ppm >= 1_000_000 };
        let (class, word) = if is_good { ("good", "met") } else { ("bad", "missed") };
        format!("{target}<small class=\"{class}\">{word}: {} of it</small>", percent(ppm))
    };
    if let Some(cpa) = spec.target_cpa_micros {
        let over = sums.cpa_micros().and_then(|reached| crate::summary::ratio(reached, 1_000_000, cpa));
        return said(format!("CPA {}", money(cpa)), over, true);
    }
    if let Some(roas) = spec.target_roas_ppm {
        let over = sums.roas_ppm().and_then(|reached| crate::summary::ratio(reached, 1_000_000, roas));
        return said(format!("ROAS {}", times(roas)), over, false);
    }
    format!("<span class=\"soft\">{}</span>", escape(&spoken(&spec.bid_strategy)))
}

/// What recorded experiments identify.
pub fn experiments(figures: &Figures) -> String {
    if figures.experiments.is_empty() {
        return String::new();
    }
    let lead = "Days of campaigns were tossed to arms with chances that are logged: what the arms brought may be compared, \
                where everything else may not. Effects are shares of what was expected, with a confidence sequence.";
    let mut lines = String::new();
    for one in figures.experiments.iter().take(LINES_MAX) {
        for (at, (arm, share, days, mean)) in one.arms.iter().enumerate() {
            let effect = at.checked_sub(1).and_then(|at| one.effects.get(at).copied().flatten());
            let said = match (at, effect) {
                (0, _) => "what the others are compared with".to_owned(),
                (_, Some([low, mid, high])) => {
                    format!("{:+.1} % ({:+.1} to {:+.1})", mid * 100.0, low * 100.0, high * 100.0)
                }
                (_, None) => "too few days".to_owned(),
            };
            let verdict = if at == 0 { format!("{}, {}", one.id, spoken(&one.verdict)) } else { String::new() };
            let _ = write!(
                lines,
                "<tr><td>{}</td><td>{}</td><td class=n>{:.0} %</td><td class=n>{}</td><td class=n>{}</td><td>{said}</td></tr>",
                escape(&verdict),
                escape(arm),
                share * 100.0,
                whole(*days),
                mean.map_or_else(|| "\u{2013}".to_owned(), |mean| format!("{mean:.2}")),
            );
        }
    }
    let head = "<tr><th>Experiment</th><th>Arm</th><th class=n>Chance</th><th class=n>Days</th><th class=n>Mean</th>\
                <th>Effect</th></tr>";
    let table = format!("<div class=\"card\"><table><thead>{head}</thead><tbody>{lines}</tbody></table></div>");
    format!("{}{table}{}", heading("experiments", "Experiments", lead), left_out(figures.experiments.len(), LINES_MAX))
}

/// What stage 1 sorted out, by kind of event.
fn sorted_out(about: &About) -> String {
    let Some(events) = about.events else {
        return "<h3>Events</h3><p class=\"soft\">what stage 1 sorted out is not in this journal's files</p>".into();
    };
    let line = |(kind, counts): (&str, EpochCounts)| {
        let cells = [counts.accepted, counts.duplicate, counts.late, counts.rejected];
        let cells: String = cells.iter().map(|count| format!("<td class=n>{}</td>", whole(*count))).collect();
        format!("<tr><td>{kind}</td>{cells}</tr>")
    };
    let lines: String = events.kinds().into_iter().map(line).collect();
    format!(
        "<h3>Events of the window</h3><table><thead><tr><th></th><th class=n>Counted</th><th class=n>Copies</th>\
         <th class=n>Late</th><th class=n>Dead letters</th></tr></thead><tbody>{lines}</tbody></table>"
    )
}

/// What the data were like.
pub fn quality(figures: &Figures, about: &About) -> String {
    let lead = "Counted by the controller since the journal's beginning, and by stage 1, which sorts out copies and refuses \
                what makes no sense, for the window; `paceline export dead-letters` lists the refused.";
    let lines: String = quality_lines(figures)
        .iter()
        .map(|(name, count)| {
            let class = if *count == 0 { " class=\"soft\"" } else { "" };
            format!("<tr{class}><td>{}</td><td class=n>{}</td></tr>", spoken(name), whole(*count))
        })
        .collect();
    let mut spans = String::new();
    for span in figures.spans.iter().filter(|span| span.records > 0).take(LINES_MAX) {
        let _ = write!(
            spans,
            "<tr><td>partition {}</td><td class=n>{} to {}</td><td class=n>{} records</td><td class=n>{} rows</td></tr>",
            span.partition,
            span.from_offset,
            span.next_offset - 1,
            whole(span.records as i64),
            whole(span.deltas as i64)
        );
    }
    format!(
        "{}<div class=\"cols\"><div><table><tbody>{lines}</tbody></table></div><div>{}<h3>Journal read, offsets</h3><table>\
         <tbody>{spans}</tbody></table></div></div>",
        heading("quality", "Data quality", lead),
        sorted_out(about)
    )
}

/// What the run takes for granted, and what it cannot tell.
pub fn limits(figures: &Figures, about: &About, comparison: Option<&Comparison>) -> String {
    let mut limits: Vec<String> = limits_of(about, figures);
    if comparison.is_none() && about.policy_sha256.is_some() {
        limits.push(
            "Lay it beside a replay under the recorded policy (--compare) to see what changes for each campaign."
                .into(),
        );
    }
    let limits: Vec<&str> = limits.iter().map(String::as_str).collect();
    format!("{}{}", heading("limits", "Assumptions and limits", ""), list(&limits))
}

pub(super) fn heading(id: &str, title: &str, lead: &str) -> String {
    format!("<h2 id=\"{id}\">{title}</h2><p>{}</p>", escape(lead))
}

pub(super) fn list(lines: &[&str]) -> String {
    format!("<ul>{}</ul>", lines.iter().map(|line| format!("<li>{}</li>", escape(line))).collect::<String>())
}

/// A small table of counts, greatest first.
pub(super) fn counts(title: &str, words: &Words) -> String {
    let mut sorted: Vec<(&String, &u64)> = words.iter().collect();
    sorted.sort_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
    small(title, &sorted)
}

/// The same in the order of the words.
pub(super) fn in_order(title: &str, words: &Words) -> String {
    small(title, &words.iter().collect::<Vec<_>>())
}

pub(super) fn small(title: &str, lines: &[(&String, &u64)]) -> String {
    if lines.is_empty() {
        return format!("<h3>{title}</h3><p class=\"soft\">none</p>");
    }
    let shown: String = lines
        .iter()
        .take(LINES_MAX)
        .map(|(word, count)| {
            format!("<tr><td>{}</td><td class=n>{}</td></tr>", escape(&spoken(word)), whole(**count as i64))
        })
        .collect();
    format!("<h3>{title}</h3><table><tbody>{shown}</tbody></table>{}", left_out(lines.len(), LINES_MAX))
}

/// Says that a list is not whole.
pub(super) fn left_out(all: usize, shown: usize) -> String {
    if all <= shown {
        return String::new();
    }
    format!(
        "<p class=\"soft\">{} more are not shown here; the tables of a replay or an export hold all.</p>",
        whole((all - shown) as i64)
    )
}

pub(super) fn by_weight(figures: &Figures) -> Vec<(&Name, &Campaign, Sums)> {
    let mut named: Vec<(&Name, &Campaign, Sums)> =
        figures.campaigns.iter().map(|(name, campaign)| (name, campaign, Sums::of(campaign))).collect();
    named.sort_by(|a, b| (b.2.spend_micros, a.0).cmp(&(a.2.spend_micros, b.0)));
    named
}

/// What a person calls it.
pub(super) fn label<'a>(name: &'a Name, campaign: &'a Campaign) -> &'a str {
    if campaign.spec.name.is_empty() { &name.1 } else { &campaign.spec.name }
}

pub(super) fn campaign_name(figures: &Figures, name: &Name) -> String {
    let label = figures.campaigns.get(name).map_or(name.1.as_str(), |campaign| label(name, campaign));
    escape(label)
}
