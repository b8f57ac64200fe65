//! What is remembered of a campaign that may not be worth its money (section 10).
//!
//! What always holds: the judgement is belief, made once a local day from the cells of one epoch: since the target was
//! changed or the campaign was clearly worth its money, four weeks at most; while it stands the epoch goes on, so late conversions can end it. A control runs on with a
//! twentieth of its budget.

use crate::campaign::Live;
use crate::hours::Hours;
use crate::ledger::CampaignLedger;
use crate::pacing::{Around, Pacing, assumed_bid};
use crate::picture::Picture;
use model::time::{DAY_MS, HOUR_MS, Millis};
use policy::settings::Underperformer as Settings;
use policy::underperformer::{Evidence, is_control, judge};
use serde::{Deserialize, Serialize};

/// The epoch of one campaign: 80 bytes, for campaigns with a target cost alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// First instant of the epoch.
    begun: Millis,
    /// The target that it is about.
    target_micros: i64,
    /// Local date of the last judgement, in days since 1970.
    judged: i32,
    /// Since when the bid is as low as it is to be before anything is concluded.
    cut_since: Option<Millis>,
    /// Money that brings too little.
    pub is_open: bool,
    /// Of the last judgement: conversions due at the tolerable rate, in millionths.
    pub due_micro: i64,
    /// Those seen.
    pub seen_micro: i64,
    /// The spend that could show them.
    pub matured_micros: i64,
    /// Logarithm of the e-value, in thousandths.
    pub ln_e_milli: i64,
}

/// An epoch is as long as cells are kept.
pub const EPOCH_MS: Millis = 28 * DAY_MS;
/// Local time of the judgement, as of the other daily ones.
const JUDGED_AT_MS: Millis = 4 * HOUR_MS;

impl Watched {
    /// Looks at a campaign at an evaluation of its bid; `None` where it has no target cost.
    pub fn look(
        before: Option<Watched>,
        pacing: &Pacing,
        live: &Live,
        picture: &Picture,
        around: &Around<'_>,
    ) -> Option<Watched> {
        let settings = &around.settings.pause.underperformer;
        let target = live.spec.target_cpa_micros.filter(|target| *target > 0);
        let target = target.filter(|_| live.spec.bid_strategy == "target_cpa" && live.cells.is_some())?;
        let begin = || Watched { begun: picture.day.start, target_micros: target, ..Watched::default() };
        let mut watched = before.filter(|watched| watched.target_micros == target).unwrap_or_else(begin);
        if !watched.is_open && picture.now.saturating_sub(watched.begun) >= EPOCH_MS {
            watched = Watched { cut_since: watched.cut_since, ..begin() };
        }
        watched.note_bid(live, picture.now, around.ledger, settings);
        let due = picture.now.saturating_sub(picture.day.start) >= JUDGED_AT_MS && watched.judged != picture.day.date;
        // An epoch that stands for longer than cells are kept has nothing left to be judged by: it stays as it is.
        if due && picture.now.saturating_sub(watched.begun) < EPOCH_MS {
            watched.judged = picture.day.date;
            watched.judge(pacing.hours.as_deref(), live, picture, around);
            // Clearly worth its money so far: good weeks must not hide a bad one for long.
            if watched.ln_e_milli <= -half_to_milli(libm::log(settings.evidence_min.max(1.0))) {
                watched = Watched { cut_since: watched.cut_since, judged: watched.judged, ..begin() };
            }
        }
        Some(watched)
    }

    fn note_bid(&mut self, live: &Live, now: Millis, ledger: &CampaignLedger, settings: &Settings) {
        let unit = live.spec.bid_step_micros.max(1);
        let most = (live.spec.bid_micros as f64 * (1.0 - settings.cut_share)) as i64;
        let low =
            assumed_bid(live, ledger).is_some_and(|bid| bid <= live.spec.bid_min_micros.saturating_add(unit).max(most));
        self.cut_since = if low { self.cut_since.or(Some(now)) } else { None };
    }

    fn judge(&mut self, hours: Option<&Hours>, live: &Live, picture: &Picture, around: &Around<'_>) {
        let settings = &around.settings.pause.underperformer;
        let (Some(cells), Some(development)) = (&live.cells, around.development) else { return };
        // Conversions that nobody counts are no sign of bad money.
        if hours.is_some_and(Hours::freezes_loops) || live.lacks_credits().is_err() {
            return;
        }
        let seen = development.seen_share(picture.seen_until, &around.settings.target);
        let breaks = hours.map_or(&[][..], Hours::breaks);
        let cells = cells.by_age(&live.calendar, picture.seen_until, &seen, breaks, live.around());
        let reach = picture.seen_until.saturating_sub(self.begun);
        let of_epoch = cells.iter().filter(|cell| cell.begun_ago_ms <= reach);
        let (matured, conversions) = of_epoch.fold((0.0, 0_i64), |(matured, conversions), cell| {
            (
                matured + cell.spend_micros.max(0) as f64 * cell.seen_share,
                conversions.saturating_add(cell.conversions_micro),
            )
        });
        let micros = |x: f64| policy::arithmetic::half_to_even(x).unwrap_or(i64::MAX);
        let evidence = Evidence {
            matured_micros: micros(matured),
            target_micros: self.target_micros,
            seen: conversions as f64 / 1e6,
            cut_ms: self.cut_since.map_or(0, |since| picture.now.saturating_sub(since)),
        };
        let judgement = judge(&evidence, settings);
        // While it stands the bid may be anything; what ends it is evidence alone.
        let still = self.is_open && judgement.ln_e >= libm::log(settings.evidence_min.max(1.0));
        self.is_open = judgement.holds || still;
        (self.matured_micros, self.seen_micro) = (evidence.matured_micros, conversions);
        (self.due_micro, self.ln_e_milli) = (micros(judgement.due * 1e6), micros(judgement.ln_e * 1e3));
    }
}

fn half_to_milli(x: f64) -> i64 {
    policy::arithmetic::half_to_even(x * 1e3).unwrap_or(i64::MAX)
}

/// The budget of a control: a twentieth of its own, never below what the specification or the platform asks for.
pub fn explored_micros(budget: i64, least: i64, live: &Live, month: i32, settings: &Settings) -> i64 {
    let is_open = live.pacing.underperformer.is_some_and(|watched| watched.is_open);
    if !is_open || !is_control(&live.spec.campaign_id, month, settings) {
        return budget;
    }
    let share = policy::arithmetic::ppm(settings.control_budget_share);
    budget.min(policy::arithmetic::of_ppm(budget, share).max(least))
}
