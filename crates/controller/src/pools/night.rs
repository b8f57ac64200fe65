//! A night's move: decided before local midnight, confirmed or dropped after it.
//!
//! What always holds: the legs of a group sum to 0, in whole steps; an evaluation comes once a local day. Whether anything
//! is sent is not decided here.

use super::evidence::Candidate;
use super::{Around, Kept, Pool};
use crate::calendar::Day;
use crate::campaign::Live;
use crate::ledger::AccountLedger;
use crate::seen::fingerprint;
use model::WHOLE_PPM;
use model::time::{HOUR_MS, Millis};
use policy::anomaly::Detector;
use policy::arithmetic::ppm;
use policy::guard::Mode;
use policy::portfolio::platform::{self, Tonight};
use policy::portfolio::response::{Gain, Response};
use policy::portfolio::{self, Evidence, Stays, common_step, ln_return, moves};
use policy::settings::{Portfolio as PoolSettings, Settings};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Moves that belong together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Group {
    /// What its commands have in common.
    pub id: String,
    /// When it was decided.
    pub opened_at: Millis,
    /// The local midnight between decreases and increases.
    pub day_end: Millis,
    /// From here on, what is not confirmed is dropped.
    pub until: Millis,
    /// What divides all its changes.
    pub step_micros: i64,
    /// Sum of the pool.
    pub sum_micros: i64,
    /// Some campaign leaves the decision to a person, or the gain is a model's word: all of it is proposed.
    pub is_proposed: bool,
    /// Some campaign is only observed: nothing of it is issued.
    pub is_observed: bool,
    /// Shifts that show what money brings.
    pub explores: bool,
    /// Low, mid and high of the gain as a share of the pool's value, where curves say it.
    pub gain_ppm: Option<[i64; 3]>,
    /// By campaign id.
    pub legs: Vec<Leg>,
}

/// One campaign's part of a group.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Leg {
    /// The campaign.
    pub campaign_id: Arc<str>,
    /// What it was given before.
    pub from: i64,
    /// What it is to be given.
    pub to: i64,
    /// What its last unit of money returns, over the pool's mean.
    pub return_ppm: i64,
    /// Up or down was drawn; a part of a group that explores and was not goes back to where it was before.
    pub drawn: bool,
}

impl Leg {
    /// Less money.
    pub fn gives(&self) -> bool {
        self.to < self.from
    }
}

impl Group {
    /// From here on increases are sent.
    pub fn raised_from(&self, settings: &PoolSettings) -> Millis {
        self.day_end.saturating_add(settings.raise_after_ms)
    }

    /// Until here a lost decrease is asked again: half of the increases' time is theirs.
    pub fn lowered_by(&self, settings: &PoolSettings) -> Millis {
        let first = self.raised_from(settings);
        first.saturating_add(self.until.saturating_sub(first).max(0) / 2)
    }

    /// Leaves out decreases that nobody confirmed in time, and of the increases as much money.
    fn shrink(&mut self, confirmed: impl Fn(&Leg) -> bool) {
        let step = self.step_micros.max(1);
        self.legs.retain(|leg| !leg.gives() || confirmed(leg));
        let sum = |gives: bool| {
            let legs = self.legs.iter().filter(|leg| leg.gives() == gives);
            legs.fold(0_i64, |sum, leg| sum.saturating_add((leg.to - leg.from).abs() / step))
        };
        let more: Vec<i64> = self.legs.iter().map(|leg| (leg.to - leg.from).max(0) / step).collect();
        let less = portfolio::give_back(&more, sum(false).saturating_sub(sum(true)));
        for (leg, less) in self.legs.iter_mut().zip(less) {
            leg.to -= less * step;
        }
        self.legs.retain(|leg| leg.to != leg.from);
    }

    /// The part of a campaign.
    pub fn leg(&self, campaign_id: &str) -> Option<&Leg> {
        let at = self.legs.binary_search_by(|leg| (*leg.campaign_id).cmp(campaign_id)).ok()?;
        self.legs.get(at)
    }
}

/// Whether the ad-buying system has said that it has a leg's value.
pub fn is_confirmed(leg: &Leg, ledger: &AccountLedger) -> bool {
    let slot = ledger.campaigns.get(&leg.campaign_id).map(|ledger| &ledger.budget);
    slot.is_some_and(|slot| slot.pending.is_none() && slot.confirmed == Some(leg.to))
}

/// A person has four hours and this to answer both halves.
const PERSON_EXTRA_MS: Millis = HOUR_MS;

impl Pool {
    /// Ends the group once all of it is confirmed, or its time is over: what was confirmed is given from now on, and what no
    /// increase has taken goes back to those that gave.
    pub(super) fn settle(&mut self, around: &Around<'_>) {
        let settings = &around.policy.for_account(around.account_id).portfolio;
        if let Some(group) = &mut self.group
            && !group.is_proposed
            && around.now >= group.lowered_by(settings)
            && group.legs.iter().any(|leg| leg.gives() && !is_confirmed(leg, around.ledger))
        {
            group.shrink(|leg| is_confirmed(leg, around.ledger));
        }
        let Some(group) = &self.group else { return };
        let confirmed: Vec<bool> = group.legs.iter().map(|leg| is_confirmed(leg, around.ledger)).collect();
        if around.now < group.until && !(confirmed.iter().all(|done| *done) && around.now >= group.day_end) {
            return;
        }
        let Some(group) = self.group.take() else { return };
        let step = group.step_micros.max(1);
        let side = |gives: bool| -> Vec<i64> {
            let legs = group.legs.iter().zip(&confirmed);
            legs.map(|(leg, done)| if *done && leg.gives() == gives { (leg.to - leg.from).abs() / step } else { 0 })
                .collect()
        };
        let (less, more) = (side(true), side(false));
        let sum = |steps: &[i64]| steps.iter().fold(0_i64, |sum, step| sum.saturating_add(*step));
        // Increases are sent only as far as decreases were confirmed; should an answer be taken back, they shrink again.
        let back = portfolio::give_back(&less, sum(&less).saturating_sub(sum(&more)));
        let cut = portfolio::give_back(&more, sum(&more).saturating_sub(sum(&less)));
        for (at, leg) in group.legs.iter().enumerate() {
            let Some(member) = self.members.get_mut(&leg.campaign_id) else { continue };
            let steps = more[at] - cut[at] - (less[at] - back[at]);
            member.given_micros = leg.from.saturating_add(steps.saturating_mul(step));
            if !group.explores {
                member.center_micros = member.center_micros.saturating_add(steps.saturating_mul(step));
            }
        }
    }

    /// At the day's instant: what moves tonight.
    pub(super) fn evaluate(&mut self, pool_id: &str, members: &[(Arc<str>, &Live)], around: &Around<'_>) {
        let settings = around.policy.for_account(around.account_id);
        let Some((_, first)) = members.first() else { return };
        let day = first.calendar.day_of(around.now);
        let from = day.end.saturating_sub(settings.portfolio.lower_before_ms);
        if around.now < from || self.evaluated == Some(day.date) || self.group.is_some() {
            return;
        }
        self.evaluated = Some(day.date);
        let until = first.watermark(around.watermark).unwrap_or(around.now).min(around.now);
        let seen = around.development.seen_share(until, &settings.target);
        let zone = first.spec.time_zone.as_str();
        let mut candidates: Vec<Candidate<'_>> = Vec::with_capacity(members.len());
        for (id, live) in members {
            let Some(member) = self.members.get(id) else { continue };
            candidates.push(Candidate::of((id, live), member, &day, zone, &seen, around));
        }
        // Where some bids are ours, the others wait: their returns are known in another way.
        let ours = |candidate: &Candidate<'_>| candidate.live.spec.bid_control == "paceline";
        let any_ours = candidates.iter().any(|candidate| candidate.kept.is_none() && ours(candidate));
        for candidate in candidates.iter_mut().filter(|candidate| any_ours && candidate.kept.is_none()) {
            candidate.kept = Some(Kept::BidsNotOurs).filter(|_| !ours(candidate));
        }
        let doubts =
            |candidate: &Candidate<'_>| candidate.live.pacing.hours.as_ref().is_some_and(|hours| hours.freezes_loops());
        let found = if candidates.iter().any(doubts) {
            Err(Stays::Anomaly)
        } else if any_ours {
            self.by_bids(&candidates, settings)
        } else {
            self.by_curves(&candidates, &day, settings, around)
        };
        for candidate in &candidates {
            if let Some(member) = self.members.get_mut(candidate.id) {
                member.kept = candidate.kept;
            }
        }
        self.stays = found.as_ref().err().copied();
        self.group = found.ok().map(|found| self.group_of(pool_id, &found, &candidates, &day, settings, around));
    }

    /// Returns of the last unit by bids, which are ours.
    fn by_bids(&self, candidates: &[Candidate<'_>], settings: &Settings) -> Result<Found, Stays> {
        let by_value = goes_for_value(candidates);
        let part = || candidates.iter().filter(|candidate| candidate.kept.is_none());
        let sum = |of: &dyn Fn(&Candidate<'_>) -> f64| part().map(of).sum::<f64>();
        let one = if by_value { sum(&|of| of.value) / sum(&|of| of.conversions) } else { 1.0 };
        let evidence: Vec<Evidence> = part()
            .map(|of| Evidence {
                matured_events: of.matured_events,
                worth: if by_value { of.value } else { of.conversions },
                ln_bid: of.ln_bid,
            })
            .collect();
        let mut returns = ln_return(&evidence, one).into_iter();
        let returns: Vec<f64> = candidates
            .iter()
            .map(|of| if of.kept.is_none() { returns.next().unwrap_or(f64::NAN) } else { f64::NAN })
            .collect();
        let (step, members) = self.members_of(candidates, &returns, settings)?;
        let changes = moves(&members, step, &settings.portfolio)?;
        let drawn = vec![false; changes.len()];
        Ok(Found { step, changes, returns, drawn, explores: false, gain: None })
    }

    /// Returns by curves that were learned; a shift that explores where no gain is proven.
    fn by_curves(
        &self,
        candidates: &[Candidate<'_>],
        day: &Day,
        settings: &Settings,
        around: &Around<'_>,
    ) -> Result<Found, Stays> {
        let by_value = goes_for_value(candidates);
        let responses: Vec<Option<Response>> =
            candidates.iter().map(|of| Response::of(&worths(of, by_value), &settings.portfolio)).collect();
        // Where worth is value, curves count conversions of mean worth: one of another campaign may be worth more.
        let of_one = |of: &Candidate<'_>| if by_value { libm::log(of.value / of.conversions) } else { 0.0 };
        let returns: Vec<f64> = candidates
            .iter()
            .zip(&responses)
            .map(|(of, response)| match (response, of.kept) {
                (Some(response), None) => {
                    let budget = self.members.get(of.id).map_or(0, |member| member.center_micros);
                    response.ln_return(budget) + of_one(of)
                }
                _ => f64::NAN,
            })
            .collect();
        let (step, members) = self.members_of(candidates, &returns, settings)?;
        let toss = self.toss(candidates, day, settings, around);
        let campaigns: Vec<platform::Campaign> = candidates
            .iter()
            .zip(members)
            .zip(responses.into_iter().zip(&toss))
            .map(|((of, member), (response, up))| {
                let unit = libm::exp(of_one(of));
                let response = response.filter(|_| of.kept.is_none()).map(|response| response.worth_times(unit));
                platform::Campaign {
                    member,
                    response,
                    daily: of.daily * unit,
                    idle_micros: if of.kept.is_none() { of.idle_micros } else { 0 },
                    center_micros: self.members.get(of.id).map_or(0, |member| member.center_micros),
                    up: *up,
                }
            })
            .collect();
        let explores = toss.iter().any(Option::is_some);
        Ok(match platform::tonight(&campaigns, step, explores, &settings.portfolio)? {
            Tonight::Proven(changes, gain) => {
                let drawn = vec![false; changes.len()];
                Found { step, changes, returns, drawn, explores: false, gain: Some(gain) }
            }
            Tonight::Explores(changes, drawn) => Found { step, changes, returns, drawn, explores: true, gain: None },
        })
    }

    /// Up or down by the hash of campaign and day (section 11); nothing for whom no shift is allowed tonight.
    fn toss(
        &self,
        candidates: &[Candidate<'_>],
        day: &Day,
        settings: &Settings,
        around: &Around<'_>,
    ) -> Vec<Option<bool>> {
        let changed = self.members.values().any(|member| member.changed == Some(day.date));
        let all_auto = candidates.iter().all(|of| of.kept.is_some() || of.mode == Mode::Auto);
        let unusual = candidates.iter().any(|of| {
            let pacing = &of.live.pacing;
            pacing.runaway.is_open() || pacing.delivery.is_open() || pacing.holds_raises(settings, around.now)
        });
        let ends_soon = |of: &Candidate<'_>| {
            let spec = &of.live.spec;
            spec.flight_end.is_some_and(|end| {
                let length = end.saturating_sub(spec.flight_start).max(0) as f64;
                (end.saturating_sub(around.now)) as f64 <= length * settings.portfolio.explore_not_last
            })
        };
        let may = !changed && all_auto && !unusual;
        let up = |of: &Candidate<'_>| {
            let seed = format!("{}\u{1f}{}\u{1f}{}", around.account_id, of.id, day.date);
            Some(fingerprint(&seed) & 1 == 1).filter(|_| may && of.kept.is_none() && !ends_soon(of))
        };
        candidates.iter().map(up).collect()
    }

    /// Bounds of each campaign for the split, and the step that all have in common. Who is kept moves nothing.
    fn members_of(
        &self,
        candidates: &[Candidate<'_>],
        returns: &[f64],
        settings: &Settings,
    ) -> Result<(i64, Vec<portfolio::Member>), Stays> {
        let part = candidates.iter().filter(|of| of.kept.is_none());
        let step = common_step(part.map(|of| of.unit_micros)).ok_or(Stays::BelowStep)?;
        let pool = self.sum_micros();
        let trial = pool as f64 / candidates.len().max(1) as f64 * settings.portfolio.trial_share;
        // A larger move of one campaign would need a person (section 12).
        let units = settings.guard.approval_budget_units.saturating_mul(model::UNIT_MICROS);
        let share = settings.portfolio.move_share_max.min(settings.guard.approval_budget_share);
        let member = |(of, ln_return): (&Candidate<'_>, &f64)| {
            let given = self.members.get(of.id).map_or(0, |member| member.given_micros);
            portfolio::Member {
                budget_micros: given,
                floor_micros: of.floor_micros.max(trial as i64),
                ceiling_micros: of.ceiling_micros.unwrap_or(pool),
                move_max_micros: if of.kept.is_none() { ((given as f64 * share) as i64).min(units) } else { 0 },
                may_take: of.is_bound && of.kept.is_none(),
                ln_return: *ln_return,
            }
        };
        Ok((step, candidates.iter().zip(returns).map(member).collect()))
    }

    fn group_of(
        &self,
        pool_id: &str,
        found: &Found,
        candidates: &[Candidate<'_>],
        day: &Day,
        settings: &Settings,
        around: &Around<'_>,
    ) -> Group {
        let known = |of: f64| Some(of).filter(|of| of.is_finite());
        let given = |of: &Candidate<'_>| self.members.get(of.id).map_or(0, |member| member.given_micros);
        let weighted =
            candidates.iter().zip(&found.returns).filter_map(|(of, ln)| Some((given(of) as f64, known(*ln)?)));
        let (weight, logs) = weighted.fold((0.0, 0.0), |sum, (weight, ln)| (sum.0 + weight, sum.1 + weight * ln));
        let told = found.returns.iter().zip(&found.drawn);
        let moved = candidates.iter().zip(&found.changes).zip(told).filter(|((_, change), _)| **change != 0);
        let mut legs: Vec<(Leg, Mode)> = moved
            .map(|((of, change), (ln, drawn))| {
                let from = given(of);
                let over = known(*ln).map_or(WHOLE_PPM, |ln| ppm(libm::exp(ln - logs / weight)));
                let (campaign_id, to) = (Arc::from(of.id), from.saturating_add(*change));
                (Leg { campaign_id, from, to, return_ppm: over, drawn: *drawn }, of.mode)
            })
            .collect();
        legs.sort_by(|(one, _), (other, _)| one.campaign_id.cmp(&other.campaign_id));
        let is_observed = legs.iter().any(|(_, mode)| *mode == Mode::Observe);
        let is_proposed = found.gain.is_some() || legs.iter().any(|(_, mode)| *mode != Mode::Auto);
        let seed = [around.account_id, pool_id, &day.date.to_string(), &around.now.to_string()].join("\u{1f}");
        let person = around.now.saturating_add(settings.guard.decide_within_ms).saturating_add(PERSON_EXTRA_MS);
        let machine = day.end.saturating_add(settings.portfolio.drop_after_ms);
        Group {
            id: format!("{:016x}", fingerprint(&seed)),
            opened_at: around.now,
            day_end: day.end,
            until: if is_proposed { person.max(machine) } else { machine },
            step_micros: found.step,
            sum_micros: self.sum_micros(),
            is_proposed,
            is_observed,
            explores: found.explores,
            gain_ppm: found.gain.map(|gain| [gain.low, gain.mid, gain.high].map(ppm)),
            legs: legs.into_iter().map(|(leg, _)| leg).collect(),
        }
    }
}

/// What an evaluation found, by candidate.
struct Found {
    step: i64,
    changes: Vec<i64>,
    returns: Vec<f64>,
    drawn: Vec<bool>,
    explores: bool,
    gain: Option<Gain>,
}

/// Conversions count where all go for conversions, or nothing has a value.
fn goes_for_value(candidates: &[Candidate<'_>]) -> bool {
    let for_conversions =
        |of: &Candidate<'_>| matches!(of.live.spec.bid_strategy.as_str(), "max_conversions" | "target_cpa");
    let any_value = candidates.iter().any(|of| of.value > 0.0);
    any_value && !candidates.iter().all(for_conversions)
}

/// Days whose worth is conversions, or value in conversions of the campaign's mean worth.
fn worths(of: &Candidate<'_>, by_value: bool) -> Vec<portfolio::response::Day> {
    let mean = of.value / of.conversions;
    let days = of.days.iter().zip(&of.day_values);
    days.map(|(day, value)| portfolio::response::Day {
        worth: if by_value && mean > 0.0 { value / mean } else { day.worth },
        ..*day
    })
    .collect()
}
