//! `paceline campaigns apply`: specifications from TOML, JSON or CSV files, validated before the first is sent.

use super::check::secret_wanted;
use super::{connect, say, sender};
use crate::cli::CampaignsCommand;
use crate::failure::{Failure, Outcome};
use crate::settings::Settings;
use avro_codec::Codec;
use model::fact::{CampaignSpec, Fact};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const SEND_LIMIT: Duration = Duration::from_secs(30);
/// Mistakes shown; the count of the rest is told.
const MISTAKES_SHOWN: usize = 20;

/// Validates and publishes.
pub fn run(command: &CampaignsCommand) -> Outcome {
    let CampaignsCommand::Apply { config, files } = command;
    let (settings, _) = Settings::load(&config.files)?;
    let mut specs = Vec::new();
    let mut mistakes = Vec::new();
    for file in files {
        match read(file) {
            Ok(found) => specs.extend(found.into_iter().map(|spec| (file.display().to_string(), spec))),
            Err(reason) => mistakes.push(format!("{}: {reason}", file.display())),
        }
    }
    let mut seen = BTreeMap::new();
    for (file, spec) in &specs {
        let place = format!("{file}: campaign {:?}", spec.campaign_id);
        mistakes.extend(check(spec).into_iter().map(|mistake| format!("{place}: {mistake}")));
        if let Some(other) = seen.insert(&spec.campaign_id, file) {
            mistakes.push(format!("{place}: stands twice, also in {other}"));
        }
    }
    if !mistakes.is_empty() {
        let shown = mistakes.iter().take(MISTAKES_SHOWN).cloned().collect::<Vec<_>>().join("\n  - ");
        return Err(Failure::failed(
            format!("{} mistake(s), nothing was sent:\n  - {shown}", mistakes.len()),
            "correct them",
        ));
    }
    if let Some((_, spec)) = specs.iter().find(|(_, spec)| spec.mode == "auto")
        && settings.user_key_secret.is_none()
    {
        return Err(secret_wanted(&format!("campaign {} is in mode auto", spec.campaign_id)));
    }
    let codec = Codec::fixed();
    let mut sender = sender(&connect(&settings, "campaigns"))?;
    for (_, spec) in &specs {
        let payload = codec
            .encode_fact(&Fact::CampaignSpec(Box::new(spec.clone())))
            .map_err(|error| Failure::failed(format!("encoding campaign {}: {error}", spec.campaign_id), ""))?;
        sender.send(&settings.topics.campaigns, None, Some(spec.campaign_id.as_bytes()), Some(&payload), None)?;
    }
    sender.flush(SEND_LIMIT)?;
    say(&json!({ "campaigns": specs.len() }).to_string())
}

fn read(path: &Path) -> Result<Vec<CampaignSpec>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let values = match path.extension().and_then(|e| e.to_str()).unwrap_or_default() {
        "toml" => from_toml(&text)?,
        "json" => from_json(serde_json::from_str(&text).map_err(|error| error.to_string())?)?,
        "jsonl" | "ndjson" => {
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            lines
                .map(|(at, line)| serde_json::from_str(line).map_err(|e| format!("line {}: {e}", at + 1)))
                .collect::<Result<_, _>>()?
        }
        "csv" => from_csv(&text)?,
        _ => return Err("name it .toml, .json, .jsonl or .csv".into()),
    };
    let numbered = values.into_iter().enumerate();
    numbered.map(|(at, value)| spec(value).map_err(|reason| format!("campaign {}: {reason}", at + 1))).collect()
}

fn spec(mut value: Value) -> Result<CampaignSpec, String> {
    if let Some(fields) = value.as_object_mut() {
        // What every file would repeat.
        fields.entry("version").or_insert(json!(1));
        fields.entry("status").or_insert(json!("active"));
        fields.entry("flight_start").or_insert(json!(0));
        let id = fields.get("campaign_id").cloned().unwrap_or_default();
        fields.entry("name").or_insert(id);
        let known = json!(CampaignSpec::default());
        let unknown: Vec<&String> = fields.keys().filter(|key| known.get(key.as_str()).is_none()).collect();
        if !unknown.is_empty() {
            return Err(format!("unknown field(s) {unknown:?}"));
        }
        for name in ["flight_start", "flight_end"] {
            if let Some(Value::String(text)) = fields.get(name) {
                let at = super::import::time::instant(text).map_err(|reason| format!("{name}: {reason}"))?;
                fields.insert(name.into(), json!(at));
            }
        }
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// `[[campaign]]` blocks, or one campaign as the whole document.
fn from_toml(text: &str) -> Result<Vec<Value>, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let json = serde_json::to_value(table).map_err(|error| error.to_string())?;
    match json.get("campaign") {
        Some(Value::Array(campaigns)) => Ok(campaigns.clone()),
        Some(_) => Err("campaign must be [[campaign]] blocks".into()),
        None => Ok(vec![json]),
    }
}

fn from_json(value: Value) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(campaigns) => Ok(campaigns),
        Value::Object(mut fields) => match fields.remove("campaigns") {
            Some(Value::Array(campaigns)) => Ok(campaigns),
            Some(_) => Err("campaigns must be a list".into()),
            None => Ok(vec![Value::Object(fields)]),
        },
        _ => Err("a list of campaigns, or one, is expected".into()),
    }
}

fn from_csv(text: &str) -> Result<Vec<Value>, String> {
    let form = json!(CampaignSpec::default());
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| error.to_string())?.clone();
    let mut campaigns = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let mut fields = Map::new();
        for (name, text) in headers.iter().zip(&record).filter(|(_, text)| !text.is_empty()) {
            fields.insert(name.to_owned(), cell(name, text, form.get(name)));
        }
        campaigns.push(Value::Object(fields));
    }
    Ok(campaigns)
}

/// Numbers, flags, lists separated by `;` and maps written as JSON; all else is a text.
fn cell(name: &str, text: &str, form: Option<&Value>) -> Value {
    let number = || text.parse::<i64>().map_or_else(|_| json!(text), Value::from);
    match form {
        Some(Value::Number(_)) => number(),
        Some(Value::Bool(_)) => text.parse::<bool>().map_or_else(|_| json!(text), Value::from),
        Some(Value::Array(_)) => json!(text.split(';').map(str::trim).collect::<Vec<_>>()),
        Some(Value::Object(_)) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        Some(Value::Null) if name.ends_with("_micros") || name.ends_with("_ppm") || name == "flight_end" => number(),
        _ => json!(text),
    }
}

/// Everything that is wrong with one specification.
fn check(spec: &CampaignSpec) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, value) in
        [("campaign_id", &spec.campaign_id), ("account_id", &spec.account_id), ("channel", &spec.channel)]
    {
        if value.is_empty() || value.len() > 256 {
            wrong.push(format!("{name} must have 1 to 256 bytes"));
        }
    }
    if spec.currency.len() != 3 || !spec.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        wrong.push(format!("currency {:?} is not an ISO 4217 code such as EUR", spec.currency));
    }
    if let Err(error) = window::calendar::Zone::parse(&spec.time_zone) {
        wrong.push(format!("time_zone {:?}: {error}", spec.time_zone));
    }
    let words: [(&str, &str, &[&str]); 8] = [
        ("status", &spec.status, &["active", "paused", "ended"]),
        ("daily_cap", &spec.daily_cap, &["profile", "hard", "average"]),
        ("bid_control", &spec.bid_control, &["none", "paceline", "platform"]),
        ("budget_control", &spec.budget_control, &["none", "paceline", "platform"]),
        (
            "bid_strategy",
            &spec.bid_strategy,
            &["manual", "max_clicks", "max_conversions", "max_value", "target_cpa", "target_roas"],
        ),
        ("attribution_model", &spec.attribution_model, &["last", "first", "linear", "position", "time_decay"]),
        ("spend_source", &spec.spend_source, &["events", "stats"]),
        ("mode", &spec.mode, &["observe", "approve", "auto"]),
    ];
    for (name, value, allowed) in words {
        if !allowed.contains(&value) {
            wrong.push(format!("{name} {value:?} is not one of {}", allowed.join(", ")));
        }
    }
    for (name, value) in [
        ("bid_micros", Some(spec.bid_micros)),
        ("bid_min_micros", Some(spec.bid_min_micros)),
        ("bid_max_micros", Some(spec.bid_max_micros)),
        ("bid_step_micros", Some(spec.bid_step_micros)),
        ("budget_step_micros", Some(spec.budget_step_micros)),
        ("daily_budget_micros", spec.daily_budget_micros),
        ("weekly_budget_micros", spec.weekly_budget_micros),
        ("monthly_budget_micros", spec.monthly_budget_micros),
        ("flight_budget_micros", spec.flight_budget_micros),
        ("target_cpa_micros", spec.target_cpa_micros),
        ("target_roas_ppm", spec.target_roas_ppm),
    ] {
        if value.is_some_and(|value| value < 0) {
            wrong.push(format!("{name} must not be negative"));
        }
    }
    if spec.bid_max_micros > 0 && spec.bid_min_micros > spec.bid_max_micros {
        wrong.push("bid_min_micros is above bid_max_micros".into());
    }
    if spec.flight_end.is_some_and(|end| end <= spec.flight_start) {
        wrong.push("flight_end is not after flight_start".into());
    }
    if spec.open_hours.as_ref().is_some_and(|marks| marks.chars().count() != 168) {
        wrong.push("open_hours must have 168 marks, one for each hour of the week".into());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_formats_give_the_same_campaign() {
        let toml = "[[campaign]]\ncampaign_id = 'c'\naccount_id = 'a'\nchannel = 'search'\ntime_zone = 'Europe/Berlin'\ncurrency = 'EUR'\ndaily_budget_micros = 5000000\ngoal_conversion_types = ['purchase']";
        let json = json!([{ "campaign_id": "c", "account_id": "a", "channel": "search", "time_zone": "Europe/Berlin", "currency": "EUR", "daily_budget_micros": 5_000_000, "goal_conversion_types": ["purchase"] }]);
        let csv = "campaign_id,account_id,channel,time_zone,currency,daily_budget_micros,goal_conversion_types,target_cpa_micros\nc,a,search,Europe/Berlin,EUR,5000000,purchase,\n";
        let specs: Vec<Vec<CampaignSpec>> = [from_toml(toml), from_json(json), from_csv(csv)]
            .into_iter()
            .map(|values| values.unwrap().into_iter().map(|value| spec(value).unwrap()).collect())
            .collect();
        assert_eq!(specs[0], specs[1]);
        assert_eq!(specs[1], specs[2]);
        assert_eq!(specs[0][0].mode, "observe");
        assert!(check(&specs[0][0]).is_empty());
    }

    #[test]
    fn mistakes_are_told_together() {
        let value = json!({ "campaign_id": "", "account_id": "a", "channel": "x", "time_zone": "Mars", "currency": "eur", "bid_min_micros": 5, "bid_max_micros": 4 });
        assert_eq!(check(&spec(value).unwrap()).len(), 4);
        assert!(spec(json!({ "campaign_id": "c", "budget": 1 })).unwrap_err().contains("budget"));
    }
}
