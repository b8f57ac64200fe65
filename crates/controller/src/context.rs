//! What people and feeds say of the world around the campaigns: `ads.context`, kept as far as it may still matter.
//!
//! Words: `event` is times as much traffic as usual, `seasonality` times as many conversions of a click, `weather` a short
//! word (`scope.weather`, else `text`) that holds at a place, `data_exclusion` a time whose data must not be learned from,
//! `freeze` a time in which people want no changes. A scope names account, campaign, channel or geo; none means all. A
//! country means its regions, too.
//!
//! What always holds: it is belief. A signal counts from the record that brought it on, and not before its own `issued_at`.
//! The last word holds: for a signal by its id (an empty time takes it back), for a weather by place and time. What is not
//! understood is counted and changes nothing: a scope that is narrower than we can tell apart must not be taken for all.
//! Memory is bounded by [`SIGNALS_MAX`] and [`SPANS_MAX`], half a megabyte and a megabyte a partition; without signals it is nothing.
//!
//! Missing on purpose: signals that a journal has forgotten (only specifications, policies and halts are copied again
//! daily), and weather that is told long after its clicks were counted.

use crate::surroundings::{Spoken, Surroundings};
use model::WHOLE_PPM;
use model::fact::ContextSignal;
use model::time::{DAY_MS, Millis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Signals that are no weather.
pub const SIGNALS_MAX: usize = 1_024;
/// Stretches of weather.
pub const SPANS_MAX: usize = 16_384;
/// Signals whose time of issue has not come.
const WAITING_MAX: usize = 1_024;
/// Ids, places and words are no longer.
const TEXT_BYTES_MAX: usize = 64;
/// Conversions of clicks that are older teach no factor.
const WEATHER_KEPT_MS: Millis = 17 * DAY_MS;
/// Conversions are waited for so long.
const SIGNALS_KEPT_MS: Millis = 62 * DAY_MS;
/// Declared factors are a tenth to ten times what is usual.
const FACTOR_PPM: (i64, i64) = (WHOLE_PPM / 10, 10 * WHOLE_PPM);

/// All that was said in one journal partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// By id.
    signals: BTreeMap<Box<str>, Signal>,
    /// By whom it is for; sorted, none over another.
    weather: BTreeMap<Scope, Vec<Span>>,
    /// Said for later, by when.
    waiting: BTreeMap<(Millis, Box<str>), ContextSignal>,
    /// When what is over was last let go.
    tidied: Millis,
}

/// Whom a signal is for; `None` means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scope {
    /// The place, as events name it, or the country of places.
    pub geo: Option<Box<str>>,
    /// The account.
    pub account: Option<Box<str>>,
    /// The campaign.
    pub campaign: Option<Box<str>>,
    /// The channel.
    pub channel: Option<Box<str>>,
}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Times as many conversions of a click.
    Seasonality,
    /// Times as much traffic.
    Event,
    /// Nothing is to be learned.
    DataExclusion,
    /// Nothing is to be changed.
    Freeze,
}

/// A signal that is no weather.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// What.
    pub kind: Kind,
    /// For whom.
    pub scope: Scope,
    /// First instant.
    pub from: Millis,
    /// First instant after it.
    pub to: Millis,
    /// The factor, parts per million.
    pub ppm: i64,
    issued_at: Millis,
}

#[cfg(test)]
impl Signal {
    /// As it would have been heard.
    pub fn made(kind: Kind, scope: Scope, (from, to): (Millis, Millis), ppm: i64) -> Self {
        Self { kind, scope, from, to, ppm, issued_at: 0 }
    }
}

/// A stretch of one weather.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First instant.
    pub from: Millis,
    /// First instant after it.
    pub to: Millis,
    /// Its word.
    pub word: Box<str>,
}

/// What became of a signal.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// It changes what these know; the time of a data exclusion that changed, if it is one.
    Changed(Vec<Scope>, Vec<(Millis, Millis)>),
    /// It says what is known, or older than that.
    Nothing,
    /// It is for later.
    Waits,
    /// It is not understood, or there is no room.
    Refused,
}

impl Context {
    /// Whether nothing was ever said that may still matter.
    pub fn is_empty(&self) -> bool {
        self.signals.is_empty() && self.weather.is_empty()
    }

    /// Takes a signal at T.
    pub fn hear(&mut self, signal: &ContextSignal, now: Millis) -> Heard {
        let Some(scope) = scope_of(signal) else { return Heard::Refused };
        if signal.issued_at > now {
            let key = (signal.issued_at, Box::from(signal.signal_id.as_str()));
            if self.waiting.len() >= WAITING_MAX && !self.waiting.contains_key(&key) {
                return Heard::Refused;
            }
            self.waiting.insert(key, signal.clone());
            return Heard::Waits;
        }
        match signal.kind.as_str() {
            "weather" => self.hear_weather(signal, scope, now),
            "seasonality" => self.hear_signal(signal, Kind::Seasonality, scope),
            "event" => self.hear_signal(signal, Kind::Event, scope),
            "data_exclusion" => self.hear_signal(signal, Kind::DataExclusion, scope),
            "freeze" => self.hear_signal(signal, Kind::Freeze, scope),
            _ => Heard::Refused,
        }
    }

    /// Whether something waits whose time has come, or may be over.
    pub fn is_due(&self, now: Millis) -> bool {
        let is_ripe = self.waiting.first_key_value().is_some_and(|((at, _), _)| *at <= now);
        is_ripe || !self.is_empty() && now.saturating_sub(self.tidied) >= DAY_MS
    }

    /// Signals whose time of issue has come, in order.
    pub fn ripe(&mut self, now: Millis) -> Vec<ContextSignal> {
        let mut ripe = Vec::new();
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 <= now) {
            ripe.push(entry.remove());
        }
        ripe
    }

    /// Once a day of T lets go what is over; `true` where something went.
    pub fn tidy(&mut self, now: Millis) -> bool {
        if now.saturating_sub(self.tidied) < DAY_MS {
            return false;
        }
        self.tidied = now;
        let before = (self.signals.len(), self.spans());
        self.signals.retain(|_, signal| now.saturating_sub(signal.to) < SIGNALS_KEPT_MS);
        self.weather.retain(|_, spans| {
            spans.retain(|span| now.saturating_sub(span.to) < WEATHER_KEPT_MS);
            !spans.is_empty()
        });
        before != (self.signals.len(), self.spans())
    }

    /// What all of it means for one campaign, shown at places with their parts of its clicks.
    pub fn around(&self, of: Spoken<'_>, places: &[(Box<str>, f32)]) -> Surroundings {
        let signals = self.signals.values().filter(|signal| signal.scope.is_for(of));
        let weather = self.weather.iter().filter(|(scope, _)| scope.is_for(of));
        Surroundings::of(signals, weather.map(|(scope, spans)| (scope, spans.as_slice())), places)
    }

    fn spans(&self) -> usize {
        self.weather.values().map(Vec::len).sum()
    }

    fn hear_signal(&mut self, signal: &ContextSignal, kind: Kind, scope: Scope) -> Heard {
        let needs_factor = matches!(kind, Kind::Seasonality | Kind::Event);
        let takes_back = signal.valid_to <= signal.valid_from;
        let known = self.signals.get(signal.signal_id.as_str());
        if known.is_some_and(|known| known.issued_at > signal.issued_at) {
            return Heard::Nothing;
        }
        let ppm = signal.value_ppm.filter(|ppm| *ppm > 0);
        let has_room = known.is_some() || self.signals.len() < SIGNALS_MAX;
        if !takes_back && (!has_room || needs_factor && ppm.is_none()) {
            return Heard::Refused;
        }
        let new = Signal {
            kind,
            scope,
            from: signal.valid_from,
            to: signal.valid_to,
            ppm: ppm.unwrap_or(WHOLE_PPM).clamp(FACTOR_PPM.0, FACTOR_PPM.1),
            issued_at: signal.issued_at,
        };
        let id: Box<str> = signal.signal_id.as_str().into();
        let before = if takes_back { self.signals.remove(&id) } else { self.signals.insert(id, new.clone()) };
        let now = (!takes_back).then_some(new);
        if before == now {
            return Heard::Nothing;
        }
        let both = || before.iter().chain(&now);
        let excluded = both().filter(|signal| signal.kind == Kind::DataExclusion);
        Heard::Changed(
            both().map(|signal| signal.scope.clone()).collect(),
            excluded.map(|signal| (signal.from, signal.to)).collect(),
        )
    }

    /// The newest word on a time and place: what was said of it before is cut away; what joins the same word is one stretch.
    fn hear_weather(&mut self, signal: &ContextSignal, scope: Scope, now: Millis) -> Heard {
        let word = signal.scope.get("weather").or(signal.text.as_ref()).map(|word| word.trim().to_lowercase());
        let Some(word) = word.filter(|word| !word.is_empty() && word.len() <= TEXT_BYTES_MAX) else {
            return Heard::Refused;
        };
        let (from, to) = (signal.valid_from, signal.valid_to);
        if to <= from || now.saturating_sub(to) >= WEATHER_KEPT_MS {
            return Heard::Nothing;
        }
        if self.spans() >= SPANS_MAX {
            return Heard::Refused;
        }
        let spans = self.weather.entry(scope.clone()).or_default();
        if spans.iter().any(|span| *span.word == *word && span.from <= from && to <= span.to) {
            return Heard::Nothing;
        }
        let mut new = Span { from, to, word: word.into() };
        let mut kept: Vec<Span> = Vec::with_capacity(spans.len() + 2);
        for span in spans.drain(..) {
            let joins = span.word == new.word && span.from <= new.to && new.from <= span.to;
            if joins {
                (new.from, new.to) = (new.from.min(span.from), new.to.max(span.to));
                continue;
            }
            let parts = [(span.from, span.to.min(from)), (span.from.max(to), span.to)];
            kept.extend(parts.into_iter().filter(|(from, to)| from < to).map(|(from, to)| Span {
                from,
                to,
                ..span.clone()
            }));
        }
        kept.push(new);
        kept.sort_by_key(|span| span.from);
        *spans = kept;
        Heard::Changed(vec![scope], Vec::new())
    }
}

impl Scope {
    /// Whether it may concern a campaign; its place is another question.
    pub fn is_for(&self, of: Spoken<'_>) -> bool {
        let is = |wanted: &Option<Box<str>>, own: &str| wanted.as_deref().is_none_or(|wanted| wanted == own);
        is(&self.account, of.account_id) && is(&self.campaign, of.campaign_id) && is(&self.channel, of.channel)
    }

    /// Whether it covers a place.
    pub fn covers(&self, place: &str) -> bool {
        let Some(geo) = self.geo.as_deref() else { return true };
        place.strip_prefix(geo).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// The narrower, the more it says: of two weathers of one place the narrower holds.
    pub fn narrowness(&self) -> usize {
        let named = [&self.account, &self.campaign, &self.channel].into_iter().flatten().count();
        named + TEXT_BYTES_MAX * self.geo.as_ref().map_or(0, |geo| geo.len())
    }
}

/// Whom a signal is for; `None` where that cannot be told.
fn scope_of(signal: &ContextSignal) -> Option<Scope> {
    let mut scope = Scope::default();
    let is_short = |text: &str| !text.is_empty() && text.len() <= TEXT_BYTES_MAX;
    for (name, value) in &signal.scope {
        if !is_short(value) {
            return None;
        }
        match name.as_str() {
            "geo" => scope.geo = Some(value.as_str().into()),
            "account" => scope.account = Some(value.as_str().into()),
            "campaign" => scope.campaign = Some(value.as_str().into()),
            "channel" => scope.channel = Some(value.as_str().into()),
            "weather" if signal.kind == "weather" => {}
            _ => return None,
        }
    }
    is_short(&signal.signal_id).then_some(scope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::time::HOUR_MS;
    use proptest::prelude::*;

    const OURS: Spoken<'static> = Spoken { account_id: "acme", campaign_id: "c", channel: "search" };

    fn signal(id: &str, kind: &str, scope: &[(&str, &str)], (from, to): (Millis, Millis)) -> ContextSignal {
        ContextSignal {
            signal_id: id.into(),
            kind: kind.into(),
            scope: scope.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            valid_from: from * HOUR_MS,
            valid_to: to * HOUR_MS,
            value_ppm: Some(2 * WHOLE_PPM),
            ..ContextSignal::default()
        }
    }

    fn weather(word: &str, geo: &str, span: (Millis, Millis)) -> ContextSignal {
        ContextSignal { text: Some(word.into()), ..signal("w", "weather", &[("geo", geo)], span) }
    }

    fn told(context: &Context, places: &[(Box<str>, f32)]) -> Vec<(Millis, Millis, String)> {
        let around = context.around(OURS, places);
        around.weather.iter().map(|span| (span.from / HOUR_MS, span.to / HOUR_MS, span.word.to_string())).collect()
    }

    #[test]
    fn the_newest_word_on_a_time_holds_and_hours_of_one_weather_are_one_stretch() {
        let mut context = Context::default();
        for hour in 1..5 {
            context.hear(&weather("Rain ", "DE", (hour, hour + 1)), 0);
        }
        context.hear(&weather("clear", "DE", (2, 3)), 0);
        assert_eq!(context.hear(&weather("rain", "DE", (4, 5)), 0), Heard::Nothing, "it is known");
        let at_home: [(Box<str>, f32); 1] = [("DE-BE".into(), 1.0)];
        let expected = [(1, 2, "rain"), (2, 3, "clear"), (3, 5, "rain")];
        assert_eq!(told(&context, &at_home), expected.map(|(from, to, word)| (from, to, word.to_owned())));
        assert!(told(&context, &[("DEX".into(), 1.0)]).is_empty() && told(&context, &[]).is_empty());
        context.hear(&weather("snow", "DE-BE", (3, 4)), 0);
        assert_eq!(told(&context, &at_home)[2].2, "snow", "the region knows better than the country");
        assert_eq!(
            told(&context, &[("DE-BE".into(), 0.4), ("FR".into(), 0.6)]),
            Vec::new(),
            "not where most clicks are"
        );
    }

    #[test]
    fn a_signal_counts_by_its_id_from_its_time_of_issue_on_and_is_taken_back() {
        let mut context = Context::default();
        let sale = signal("sale", "event", &[("account", "acme")], (10, 20));
        let later = ContextSignal { issued_at: 5, ..sale.clone() };
        assert_eq!(context.hear(&later, 4), Heard::Waits);
        assert!(context.ripe(4).is_empty() && context.is_empty());
        let ripe = context.ripe(5);
        assert!(matches!(context.hear(&ripe[0], 5), Heard::Changed(..)));
        assert_eq!(context.hear(&sale, 5), Heard::Nothing, "an older word");
        let others = Spoken { account_id: "other", ..OURS };
        assert_eq!((context.around(OURS, &[]).events.len(), context.around(others, &[]).events.len()), (1, 0));
        let back = ContextSignal { issued_at: 6, valid_to: 0, ..sale };
        assert!(matches!(context.hear(&back, 6), Heard::Changed(..)));
        assert!(context.is_empty());
    }

    #[test]
    fn what_is_not_understood_changes_nothing() {
        let mut context = Context::default();
        for bad in [
            signal("a", "omen", &[], (0, 9)),
            signal("a", "event", &[("device", "mobile")], (0, 9)),
            ContextSignal { value_ppm: None, ..signal("a", "seasonality", &[], (0, 9)) },
            signal("", "freeze", &[], (0, 9)),
            signal("a", "weather", &[("geo", "DE")], (0, 9)),
        ] {
            assert_eq!(context.hear(&bad, DAY_MS), Heard::Refused, "{bad:?}");
        }
        assert!(context.is_empty());
    }

    #[test]
    fn what_is_over_goes_and_room_is_bounded() {
        let mut context = Context::default();
        for at in 0..2_000 {
            context.hear(&signal(&at.to_string(), "freeze", &[], (0, 9)), 0);
        }
        assert_eq!(context.signals.len(), SIGNALS_MAX);
        context.hear(&weather("rain", "DE", (0, 1)), 0);
        assert!(context.tidy(20 * DAY_MS) && context.weather.is_empty() && !context.is_empty());
        assert!(!context.tidy(20 * DAY_MS + 1) && context.tidy(99 * DAY_MS) && context.is_empty());
    }

    proptest! {
        #[test]
        fn stretches_of_a_place_never_lie_over_each_other_and_the_last_word_is_what_holds(
            said in prop::collection::vec((0..40_i64, 1..9_i64, 0..3_usize), 1..60)
        ) {
            let mut context = Context::default();
            let mut by_hour: BTreeMap<i64, usize> = BTreeMap::new();
            let words = ["rain", "clear", "snow"];
            for (from, length, word) in said {
                context.hear(&weather(words[word], "DE", (from, from + length)), 0);
                (from..from + length).for_each(|hour| _ = by_hour.insert(hour, word));
            }
            let spans = context.weather.values().next().unwrap();
            prop_assert!(spans.windows(2).all(|pair| pair[0].to <= pair[1].from));
            for hour in 0..60 {
                let at = hour * HOUR_MS;
                let found = spans.iter().find(|span| (span.from..span.to).contains(&at)).map(|span| &*span.word);
                prop_assert_eq!(found, by_hour.get(&hour).map(|word| words[*word]));
            }
        }
    }
}
