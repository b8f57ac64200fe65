//! `paceline analyze attribute`: who gets the credit for a file's conversions.
//!
//! Journeys may be scattered over the file, so their touches are kept until its end; counted paths are folded row by row.

use super::{open, table::Table};
use crate::cli::{Attribute, AttributionModel};
use crate::commands::say;
use crate::failure::{Failure, Outcome};
use crate::settings::parse_duration_ms;
use attribution::{ChannelCredit, Journey, Lookbacks, Path, PathModel, Touch, TouchKind, path_model_named};
use attribution::{decimal, printed};
use model::time::Millis;
use std::collections::HashMap;
use std::io::Read;

/// Reads, credits, prints.
pub fn run(arguments: &Attribute) -> Outcome {
    let half_life_ms = match &arguments.half_life {
        None => None,
        Some(text) => Some(parse_duration_ms(text).filter(|span| *span > 0).ok_or_else(|| {
            Failure::usage(format!("--half-life {text:?} is not a duration above 0"), "use for example 7d")
        })?),
    };
    let (csv, remarks) = match (&arguments.input, &arguments.paths) {
        (Some(path), _) => of_journeys(path.display(), open(path)?, arguments.model, half_life_ms)?,
        (None, Some(path)) => (of_paths(path.display(), open(path)?, arguments.model)?, Vec::new()),
        (None, None) => return Err(Failure::usage("no journeys are given", "give --input FILE or --paths FILE")),
    };
    for remark in remarks {
        eprintln!("paceline: {remark}");
    }
    say(csv.trim_end())
}

/// One journey of the file.
#[derive(Default)]
struct Trail {
    touches: Vec<Touch>,
    conversion: Option<(Millis, i64)>,
}

/// CSV of credits, and remarks for people.
fn of_journeys(
    name: impl std::fmt::Display,
    source: impl Read,
    model: AttributionModel,
    half_life_ms: Option<Millis>,
) -> Outcome<(String, Vec<String>)> {
    let mut channels = Names::default();
    let trails = read_trails(Table::open(name, source, b',', &JOURNEY_COLUMNS, &[])?, &mut channels)?;
    let mut credits = Credits::new(model, half_life_ms, channels)?;
    let (mut later_touches, mut uncredited) = (0_usize, 0_usize);
    for trail in trails {
        let given = trail.touches.len();
        let ends_at = trail.conversion.map_or(Millis::MAX, |(at, _)| at);
        let journey = Journey::new(ends_at, WHOLE_FILE, trail.touches);
        later_touches += given - journey.touches().len();
        if journey.touches().is_empty() {
            uncredited += 1;
            continue;
        }
        let (conversions, value) = trail.conversion.map_or((0.0, 0.0), |(_, value)| (1.0, value as f64));
        credits.add(&Path { touches: journey.touches(), conversions, value, nulls: 1.0 - conversions });
    }
    let mut remarks = Vec::new();
    if later_touches > 0 {
        remarks.push(format!("{later_touches} touch(es) after their journey's conversion were left out"));
    }
    if uncredited > 0 {
        remarks.push(format!("{uncredited} conversion(s) without any touch before them are credited to nobody"));
    }
    Ok((credits.csv(), remarks))
}

fn read_trails<R: Read>(mut table: Table<R>, channels: &mut Names) -> Outcome<Vec<Trail>> {
    let [journey, ts, channel, _cost, conversion_ts, value] = [0, 1, 2, 3, 4, 5];
    let mut numbers = Names::default();
    let mut trails: Vec<Trail> = Vec::new();
    let mut rows = 0;
    while table.advance()? {
        let number = numbers.number(table.word(journey)?) as usize;
        if number == trails.len() {
            trails.push(Trail::default());
        }
        let tag = channels.number(table.word(channel)?);
        trails[number].touches.push(Touch { time: table.instant(ts)?, id: rows, kind: TouchKind::Click, tag });
        rows += 1;
        let Some(converted_at) = table.instant_or_none(conversion_ts)? else {
            if !table.text(value).is_empty() {
                return Err(table.mistake(value, "stands without a conversion_ts_ms"));
            }
            continue;
        };
        let text = table.text(value);
        let value_micros = if text.is_empty() { Ok(0) } else { text.parse::<i64>() };
        let value_micros = value_micros.map_err(|_| table.mistake(value, "is not a whole number of micros"))?;
        let conversion = (converted_at, value_micros);
        if trails[number].conversion.replace(conversion).is_some_and(|earlier| earlier != conversion) {
            return Err(table.mistake(journey, "has another conversion in an earlier row"));
        }
    }
    Ok(trails)
}

/// CSV of credits.
fn of_paths(name: impl std::fmt::Display, source: impl Read, model: AttributionModel) -> Outcome<String> {
    if model == AttributionModel::TimeDecay {
        return Err(Failure::usage("time_decay needs times, which counted paths do not have", "use --input"));
    }
    let [path, conversions, value, nulls] = [0, 1, 2, 3];
    let mut table = Table::open(name, source, b';', &PATH_COLUMNS, &[])?;
    let mut credits = Credits::new(model, None, Names::default())?;
    let mut touches = Vec::new();
    while table.advance()? {
        touches.clear();
        for (at, channel) in table.word(path)?.split(" > ").enumerate() {
            let channel = channel.trim();
            if channel.is_empty() {
                return Err(table.mistake(path, "has a channel without a name"));
            }
            let tag = credits.channels.number(channel);
            // Only the order matters to the models that are allowed here.
            touches.push(Touch { time: at as Millis, id: at as u64, kind: TouchKind::Click, tag });
        }
        let (conversions, nulls) = (table.amount(conversions)?, table.amount(nulls)?);
        credits.add(&Path { touches: &touches, conversions, value: table.number(value)?, nulls });
    }
    Ok(credits.csv())
}

/// A path model and what it was given.
struct Credits {
    model: Box<dyn PathModel>,
    channels: Names,
    conversions: f64,
    value: f64,
}

impl Credits {
    fn new(model: AttributionModel, half_life_ms: Option<Millis>, channels: Names) -> Outcome<Self> {
        let model = path_model_named(model.word(), half_life_ms).ok_or_else(|| {
            Failure::failed(format!("the model {} is not built in", model.word()), "this is a defect; please report it")
        })?;
        Ok(Self { model, channels, conversions: 0.0, value: 0.0 })
    }

    fn add(&mut self, path: &Path<'_>) {
        self.conversions += path.conversions;
        self.value += path.value;
        self.model.add(path);
    }

    /// One row a channel, by name.
    fn csv(&self) -> String {
        let mut credits = self.model.credits();
        credits.resize(self.channels.names.len(), ChannelCredit::default());
        let column = |of: fn(&ChannelCredit) -> f64| credits.iter().map(of).collect::<Vec<f64>>();
        let conversions = printed(&column(|credit| credit.conversions), self.conversions);
        let value = printed(&column(|credit| credit.value), self.value);
        let mut order: Vec<usize> = (0..credits.len()).collect();
        order.sort_by_key(|at| &self.channels.names[*at]);
        let with_effect = credits.iter().any(|credit| credit.removal_effect.is_some());
        let mut csv = String::from(if with_effect {
            "channel,conversions,value,removal_effect\n"
        } else {
            "channel,conversions,value\n"
        });
        for at in order {
            csv += &format!("{},{},{}", quoted(&self.channels.names[at]), conversions[at], value[at]);
            if with_effect {
                csv += &format!(",{}", decimal(credits[at].removal_effect.unwrap_or_default()));
            }
            csv.push('\n');
        }
        csv
    }
}

fn quoted(name: &str) -> String {
    if name.contains([',', '"', '\n', '\r']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_owned() }
}

/// Names and their numbers, in the order of their first appearance.
#[derive(Default)]
struct Names {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }
}

const JOURNEY_COLUMNS: [&str; 6] =
    ["journey_id", "ts_ms", "channel", "cost_micros", "conversion_ts_ms", "value_micros"];
const PATH_COLUMNS: [&str; 4] = ["path", "total_conversions", "total_conversion_value", "total_null"];
/// The file says which touches belong to a journey: no lookback cuts it again.
const WHOLE_FILE: Lookbacks = Lookbacks { click_ms: Millis::MAX, impression_ms: Millis::MAX };

#[cfg(test)]
mod tests {
    use super::*;

    const JOURNEYS: &str = "\
journey_id,ts_ms,channel,cost_micros,conversion_ts_ms,value_micros
1,604800000,social,0,1209600000,9000000
2,1000,search,10,,
1,1970-01-01 00:00:00,search,500000,1209600000,9000000
1,1209600000,display,0,1209600000,9000000
3,5,search,0,7,1000000
3,6,\"e-mail, own\",0,7,1000000
";

    const PATHS: &str = "\
path;total_conversions;total_conversion_value;total_null
c1 > c2 > c3;1;10.5;0
c1;0;0;1
c2 > c3;0;0;1
";

    fn journeys(text: &str, model: AttributionModel) -> Outcome<(String, Vec<String>)> {
        of_journeys("journeys.csv", text.as_bytes(), model, None)
    }

    #[test]
    fn scattered_journeys_are_put_together_and_credited() {
        let (csv, remarks) = journeys(JOURNEYS, AttributionModel::TimeDecay).expect("read");
        let rows: Vec<&str> = csv.lines().collect();
        assert_eq!(rows[0], "channel,conversions,value");
        assert!(rows[1].starts_with("display,0.57142857142"), "{csv}");
        assert!(rows[2].starts_with("\"e-mail, own\",0.50000000"), "{csv}");
        assert!(rows[4].starts_with("social,0.28571428571"), "{csv}");
        assert!(remarks.is_empty());
        let (csv, _) = journeys(JOURNEYS, AttributionModel::First).expect("read");
        assert!(csv.contains("search,2,10000000\n") && csv.contains("social,0,0\n"), "{csv}");
    }

    #[test]
    fn a_journey_without_conversion_is_a_null_path() {
        let (csv, _) = journeys(JOURNEYS, AttributionModel::Markov).expect("read");
        assert_eq!(csv.lines().next(), Some("channel,conversions,value,removal_effect"));
        assert!(
            csv.contains("search,") && csv.lines().any(|row| row.starts_with("search,") && row.ends_with(",1")),
            "{csv}"
        );
    }

    #[test]
    fn counted_paths_keep_the_unit_of_their_file() {
        let csv = of_paths("paths.csv", PATHS.as_bytes(), AttributionModel::Markov).expect("read");
        assert_eq!(csv, "channel,conversions,value,removal_effect\nc1,0.2,2.1,0.5\nc2,0.4,4.2,1\nc3,0.4,4.2,1\n");
        let csv = of_paths("paths.csv", PATHS.as_bytes(), AttributionModel::Shapley).expect("read");
        assert_eq!(
            csv,
            "channel,conversions,value\nc1,0.333333333333,3.5\nc2,0.333333333334,3.5\nc3,0.333333333333,3.5\n"
        );
    }

    #[test]
    fn what_is_left_out_is_said() {
        let header = JOURNEYS.lines().next().expect("a header");
        let text = format!("{header}\n1,10,a,0,5,7\n2,1,a,0,5,7\n2,9,b,0,5,7\n");
        let (csv, remarks) = journeys(&text, AttributionModel::Linear).expect("read");
        assert_eq!(csv, "channel,conversions,value\na,1,7\nb,0,0\n");
        assert_eq!(remarks.len(), 2, "{remarks:?}");
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let header = JOURNEYS.lines().next().expect("a header");
        for (row, words) in [
            ("1,soon,a,0,,", "line 2: ts_ms \"soon\" is neither"),
            ("1,1,,0,,", "line 2: channel \"\" is empty"),
            ("1,1,a,0,,5", "value_micros \"5\" stands without"),
            ("1,1,a,0,5,1.5", "value_micros \"1.5\" is not a whole"),
            ("1,1,a,0,5,1\n1,2,a,0,6,1", "line 3: journey_id \"1\" has another conversion"),
        ] {
            let failure = journeys(&format!("{header}\n{row}\n"), AttributionModel::Last).expect_err(row).to_string();
            assert!(failure.contains(words), "{failure}");
        }
        let failure = of_paths("p", PATHS.as_bytes(), AttributionModel::TimeDecay).expect_err("no times");
        assert!(failure.to_string().contains("--input"));
        let gap = PATHS.replace("c2 > c3;", "c2 >  > c3;");
        assert!(
            of_paths("p", gap.as_bytes(), AttributionModel::Last).expect_err("a gap").to_string().contains("line 2")
        );
    }
}
