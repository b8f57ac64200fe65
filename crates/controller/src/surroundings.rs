//! What is said of the world, as it concerns one campaign: which weather holds where most of its clicks are made, what is
//! expected, what must not be learned from, when nothing is to be changed.
//!
//! What always holds: it follows from the context, the specification and the campaign's places alone; so it is made again
//! after a restart and is the same.

use crate::campaign::Live;
use crate::context::{Context, Kind, Scope, Signal, Span};
use model::WHOLE_PPM;
use model::time::Millis;
use policy::plan::Lift;
use std::sync::Arc;

/// Whose surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Spoken<'a> {
    pub account_id: &'a str,
    pub campaign_id: &'a str,
    pub channel: &'a str,
}

/// The surroundings of one campaign.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// Weather that holds where at least half of the clicks are made; sorted, none over another.
    pub weather: Vec<Span>,
    /// Times as much traffic.
    pub events: Vec<Lift>,
    /// Times as many conversions of a click.
    pub seasons: Vec<Lift>,
    /// Nothing is learned.
    excluded: Vec<(Millis, Millis)>,
    /// Nothing is changed.
    frozen: Vec<(Millis, Millis)>,
}

/// Places that are told apart; the others make less of the clicks.
pub const PLACES_MAX: usize = 8;
/// A weather is the campaign's where so much of its clicks is made under it.
const MOST: f32 = 0.5;

impl Surroundings {
    /// Of the signals and weathers that may concern the campaign.
    pub fn of<'s>(
        signals: impl Iterator<Item = &'s Signal>,
        weather: impl Iterator<Item = (&'s Scope, &'s [Span])>,
        places: &[(Box<str>, f32)],
    ) -> Self {
        let mut around = Self { weather: prevailing(weather, places), ..Self::default() };
        for signal in signals {
            let share = share_of(&signal.scope, places);
            let factor = 1.0 + f64::from(share) * (signal.ppm as f64 / WHOLE_PPM as f64 - 1.0);
            let lift = Lift { from_ms: signal.from, to_ms: signal.to, factor };
            match signal.kind {
                Kind::Event if share > 0.0 => around.events.push(lift),
                Kind::Seasonality if share > 0.0 => around.seasons.push(lift),
                Kind::DataExclusion if share >= MOST => around.excluded.push((signal.from, signal.to)),
                Kind::Freeze if share > 0.0 => around.frozen.push((signal.from, signal.to)),
                _ => {}
            }
        }
        around
    }

    /// The weather at an instant.
    pub fn weather_at(&self, at: Millis) -> Option<&str> {
        let after = self.weather.partition_point(|span| span.from <= at);
        let span = &self.weather[after.checked_sub(1)?];
        (at < span.to).then_some(&*span.word)
    }

    /// Whether some part of a stretch must not be learned from.
    pub fn is_excluded(&self, from: Millis, to: Millis) -> bool {
        self.excluded.iter().any(|(start, end)| *start < to && from < *end)
    }

    /// What holds at an instant, in sentences; `factor` is that of the weather.
    pub fn said_at(&self, at: Millis, factor: f64) -> Vec<String> {
        let of = |lifts: &[Lift]| Some(Lift::at(lifts, at)).filter(|factor| *factor != 1.0);
        let weather = self.weather_at(at).map(|word| match factor == 1.0 {
            true => format!("the weather is {word}; no factor follows from it"),
            false => format!("the weather is {word}; it has the factor {factor:.2} on the bid"),
        });
        let event = of(&self.events).map(|times| format!("{times:.2} times as much traffic is expected"));
        let season =
            of(&self.seasons).map(|times| format!("a click is expected to bring {times:.2} times as many conversions"));
        let excluded = self.is_excluded(at, at.saturating_add(1));
        let excluded = excluded.then(|| "nothing is learned from what is clicked now".to_owned());
        let frozen = self.frozen_until(at).map(|_| "people want no changes; nothing leaves but stops".to_owned());
        [weather, event, season, excluded, frozen].into_iter().flatten().collect()
    }

    /// Until when nothing is to be changed.
    pub fn frozen_until(&self, at: Millis) -> Option<Millis> {
        let holding = self.frozen.iter().filter(|(from, to)| (*from..*to).contains(&at));
        holding.map(|(_, to)| *to).max()
    }
}

/// Share of the clicks that a scope is about; all where it names no place.
fn share_of(scope: &Scope, places: &[(Box<str>, f32)]) -> f32 {
    if scope.geo.is_none() {
        return 1.0;
    }
    places.iter().filter(|(place, _)| scope.covers(place)).map(|(_, share)| share).sum::<f32>().min(1.0)
}

/// In each stretch the weather under which the most clicks are made, if that is at least half of them.
fn prevailing<'s>(weather: impl Iterator<Item = (&'s Scope, &'s [Span])>, places: &[(Box<str>, f32)]) -> Vec<Span> {
    let mut said: Vec<(&Scope, &[Span])> = weather.collect();
    // The narrowest first: it knows best.
    said.sort_by_key(|(scope, _)| std::cmp::Reverse(scope.narrowness()));
    let anywhere: [(Box<str>, f32); 1] = [("".into(), 1.0)];
    let places = if places.is_empty() { &anywhere[..] } else { places };
    let heard: Vec<(Vec<&[Span]>, f32)> = places
        .iter()
        .map(|(place, share)| {
            let own = said.iter().filter(|(scope, _)| scope.covers(place)).map(|(_, spans)| *spans);
            (own.collect(), *share)
        })
        .collect();
    let all = heard.iter().flat_map(|(own, _)| own.iter().copied().flatten());
    let mut cuts: Vec<Millis> = all.flat_map(|span| [span.from, span.to]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut found: Vec<Span> = Vec::new();
    for pair in cuts.windows(2) {
        let Some(word) = most_at(&heard, pair[0]) else { continue };
        match found.last_mut() {
            Some(last) if last.to == pair[0] && *last.word == *word => last.to = pair[1],
            _ => found.push(Span { from: pair[0], to: pair[1], word: word.into() }),
        }
    }
    found
}

fn most_at<'s>(heard: &[(Vec<&'s [Span]>, f32)], at: Millis) -> Option<&'s str> {
    let mut shares: Vec<(&'s str, f32)> = Vec::new();
    for (own, share) in heard {
        let word = own.iter().find_map(|spans| {
            let span = &spans[spans.partition_point(|span| span.from <= at).checked_sub(1)?];
            (at < span.to).then_some(&*span.word)
        });
        let Some(word) = word else { continue };
        match shares.iter_mut().find(|(known, _)| *known == word) {
            Some((_, sum)) => *sum += share,
            None => shares.push((word, *share)),
        }
    }
    // Of equals the first by name.
    shares.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(other.0)));
    shares.first().filter(|(_, share)| *share >= MOST).map(|(word, _)| *word)
}

impl Live {
    /// What is said around the campaign; nothing where nothing was said.
    pub fn around(&self) -> &Surroundings {
        static NOTHING: Surroundings = Surroundings {
            weather: Vec::new(),
            events: Vec::new(),
            seasons: Vec::new(),
            excluded: Vec::new(),
            frozen: Vec::new(),
        };
        self.surroundings.as_deref().unwrap_or(&NOTHING)
    }

    /// Makes sure that the surroundings are those of the context.
    pub fn renew_surroundings(&mut self, context: &Context, account_id: &str, campaign_id: &str) {
        if self.surroundings.is_none() && !context.is_empty() {
            let of = Spoken { account_id, campaign_id, channel: &self.spec.channel };
            self.surroundings = Some(Arc::new(context.around(of, &self.places)));
        }
    }

    /// Something was said, or it is about other places: what is made of it is made anew.
    pub fn forget_surroundings(&mut self) {
        (self.surroundings, self.outlook, self.quiet) = (None, None, None);
    }

    /// A stretch is not to be learned from, or is again: what came since the last evaluations may be of it.
    pub fn exclude(&mut self, from: Millis, to: Millis) {
        if let Some(by_hour) = &mut self.by_hour {
            by_hour.exclude(from, to);
        }
        if let Some(by_weather) = &mut self.by_weather {
            Arc::make_mut(by_weather).exclude(from, to);
        }
        if let Some(by_value) = &mut self.by_value {
            Arc::make_mut(by_value).spoil();
        }
    }

    /// The declared factor on conversions of a click at an instant, as a logarithm.
    pub fn log_season(&self, at: Millis) -> f64 {
        let seasons = &self.around().seasons;
        if seasons.is_empty() { 0.0 } else { libm::log(Lift::at(seasons, at)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_place_counts_by_its_part_of_the_clicks() {
        let places: [(Box<str>, f32); 2] = [("DE-BE".into(), 0.25), ("FR".into(), 0.75)];
        let signal = |kind, geo: Option<&str>, ppm| {
            Signal::made(kind, Scope { geo: geo.map(Box::from), ..Scope::default() }, (10, 20), ppm)
        };
        let all = [
            signal(Kind::Event, Some("DE"), 3_000_000),
            signal(Kind::Seasonality, None, 500_000),
            signal(Kind::DataExclusion, Some("DE"), 0),
            signal(Kind::DataExclusion, Some("FR"), 0),
            signal(Kind::Freeze, Some("DE"), 0),
            signal(Kind::Event, Some("IT"), 9_000_000),
        ];
        let around = Surroundings::of(all.iter(), std::iter::empty(), &places);
        assert_eq!((around.events.len(), Lift::at(&around.events, 15)), (1, 1.5));
        assert_eq!(Lift::at(&around.seasons, 15), 0.5);
        assert!(around.is_excluded(19, 30) && !around.is_excluded(20, 30) && around.excluded.len() == 1);
        assert_eq!((around.frozen_until(10), around.frozen_until(20)), (Some(20), None));
        assert_eq!((around.said_at(15, 1.0).len(), around.said_at(20, 1.0).len()), (4, 0));
    }
}
