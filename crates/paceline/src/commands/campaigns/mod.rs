//! `paceline campaigns apply`: specifications from TOML, JSON or CSV files, validated before the first is sent.

mod sense;

use super::check::secret_wanted;
use super::specified::{self, Known, Verdict};
use super::{connect, say, sender};
use crate::cli::CampaignsCommand;
use crate::clock::Clock;
use crate::failure::{Failure, Outcome};
use crate::registry;
use crate::settings::Settings;
use avro_codec::RecordName;
use model::fact::{CampaignSpec, Fact};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SEND_LIMIT: Duration = Duration::from_secs(30);
/// Mistakes shown; the count of the rest is told.
const MISTAKES_SHOWN: usize = 20;

/// Validates and publishes.
pub fn run(command: &CampaignsCommand) -> Outcome {
    let CampaignsCommand::Apply { config, files } = command;
    let (settings, _) = Settings::load(&config.files)?;
    let specs = checked(files)?;
    if let Some((_, spec)) = specs.iter().find(|(_, spec)| spec.mode == "auto")
        && settings.user_key_secret.is_none()
    {
        return Err(secret_wanted(&format!("campaign {} is in mode auto", spec.campaign_id)));
    }
    let (specs, unchanged) = news(specs, &specified::read(&settings, "campaigns")?)?;
    let codec = registry::codec(&settings, &[RecordName::CampaignSpec])?;
    // All of them before the first is sent: one that the service would refuse refuses all.
    let payloads = specs.iter().map(|spec| {
        codec.encode_fact(&Fact::CampaignSpec(Box::new(spec.clone()))).map_err(|error| {
            Failure::failed(
                format!("campaign {:?} cannot be sent, nothing was sent: {error}", spec.campaign_id),
                "shorten it: 4 kB a text, 256 KiB a specification",
            )
        })
    });
    let payloads = payloads.collect::<Outcome<Vec<_>>>()?;
    let mut sender = sender(&connect(&settings, "campaigns"))?;
    for (spec, payload) in specs.iter().zip(payloads) {
        sender.send(&settings.topics.campaigns, None, Some(spec.campaign_id.as_bytes()), Some(&payload), None)?;
    }
    sender.flush(SEND_LIMIT)?;
    say(&json!({ "campaigns": specs.len(), "unchanged": unchanged }).to_string())
}

/// What is to be sent, and how many stand in the topic already. One that would be ignored refuses all.
fn news(specs: Vec<(String, CampaignSpec)>, known: &BTreeMap<String, Known>) -> Outcome<(Vec<CampaignSpec>, usize)> {
    let (mut news, mut mistakes, all) = (Vec::new(), Vec::new(), specs.len());
    for (file, spec) in specs {
        match specified::verdict(&spec, known.get(&spec.campaign_id)) {
            Verdict::Send => news.push(spec),
            Verdict::Unchanged => {}
            Verdict::Refused(reason) => mistakes.push(format!("{file}: campaign {:?}: {reason}", spec.campaign_id)),
        }
    }
    if mistakes.is_empty() {
        let unchanged = all - news.len();
        return Ok((news, unchanged));
    }
    let count = mistakes.len();
    Err(Failure::failed(
        format!("{count} specification(s) are older than those in force, nothing was sent"),
        "raise each version above the one in force and apply again",
    )
    .listing(shortened(mistakes)))
}

fn shortened(mut mistakes: Vec<String>) -> Vec<String> {
    let count = mistakes.len();
    mistakes.truncate(MISTAKES_SHOWN);
    if count > MISTAKES_SHOWN {
        mistakes.push(format!("and {} more", count - MISTAKES_SHOWN));
    }
    mistakes
}

/// The specifications of all files, each with its file, if none has a mistake; what is doubtful is told on stderr.
pub fn checked(files: &[PathBuf]) -> Outcome<Vec<(String, CampaignSpec)>> {
    let mut specs = Vec::new();
    let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
    for file in files {
        match read(file) {
            Ok(found) if found.is_empty() => mistakes.push(format!("{}: holds no campaign", file.display())),
            Ok(found) => specs.extend(found.into_iter().map(|spec| (file.display().to_string(), spec))),
            Err(reason) => mistakes.push(format!("{}: {reason}", file.display())),
        }
    }
    let mut seen: BTreeMap<&String, &String> = BTreeMap::new();
    for (file, spec) in &specs {
        let place = format!("{file}: campaign {:?}", spec.campaign_id);
        let said = sense::check(spec, Clock::System.now_ms());
        mistakes.extend(said.mistakes.into_iter().map(|mistake| format!("{place}: {mistake}")));
        warnings.extend(said.warnings.into_iter().map(|warning| format!("{place}: {warning}")));
        if let Some(other) = seen.insert(&spec.campaign_id, file) {
            mistakes.push(format!("{place}: stands twice, also in {other}"));
        }
    }
    // Told before a refusal too: who corrects a file wants to read all of it once.
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    if !mistakes.is_empty() {
        let count = mistakes.len();
        return Err(Failure::failed(
            format!("{count} mistake(s), nothing was sent"),
            "correct each line above and apply again; deploy/campaigns/example.toml shows the fields",
        )
        .listing(shortened(mistakes)));
    }
    Ok(specs)
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
        None if json.as_object().is_none_or(Map::is_empty) => Ok(Vec::new()),
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
        assert!(sense::check(&specs[0][0], 0).mistakes.is_empty());
        // What is read from the topic is compared with what a file says.
        let (codec, fact) = (avro_codec::Codec::fixed(), Fact::CampaignSpec(Box::new(specs[0][0].clone())));
        let payload = codec.encode_fact(&fact).unwrap();
        assert_eq!(codec.fact(model::fact::ControlTopic::Campaigns, &payload).ok(), Some(fact));
    }

    #[test]
    fn one_version_that_would_be_ignored_refuses_all_and_what_stands_there_is_not_sent_again() {
        let spec = |id: &str, version, name: &str| CampaignSpec {
            campaign_id: id.into(),
            version,
            name: name.into(),
            ..CampaignSpec::default()
        };
        let known = ["a", "b"].map(|id| (id.to_owned(), Known { spec: spec(id, 2, "in force"), last_version: 2 }));
        let known = BTreeMap::from(known);
        let of = |specs: &[CampaignSpec]| news(specs.iter().map(|spec| ("f".into(), spec.clone())).collect(), &known);
        let (sent, unchanged) = of(&[spec("a", 2, "in force"), spec("b", 3, "next"), spec("c", 1, "new")]).unwrap();
        assert_eq!((sent, unchanged), (vec![spec("b", 3, "next"), spec("c", 1, "new")], 1));
        let refused = of(&[spec("a", 1, "old"), spec("b", 3, "next")]).unwrap_err();
        assert!(refused.mistakes.len() == 1 && refused.mistakes[0].contains("version = 3"), "{refused}");
    }

    #[test]
    fn a_file_without_a_campaign_is_a_mistake_in_every_format() {
        let folder = std::env::temp_dir().join(format!("paceline-campaigns-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in [("a.toml", "# nothing\n"), ("b.json", "[]"), ("c.csv", "campaign_id\n"), ("d.jsonl", "\n")]
        {
            let file = folder.join(name);
            std::fs::write(&file, text).unwrap();
            let refused = checked(&[file]).unwrap_err();
            assert!(refused.mistakes[0].ends_with("holds no campaign"), "{refused}");
        }
        let _ = std::fs::remove_dir_all(folder);
    }

    #[test]
    fn an_unknown_field_is_named() {
        assert!(spec(json!({ "campaign_id": "c", "budget": 1 })).unwrap_err().contains("budget"));
    }
}
