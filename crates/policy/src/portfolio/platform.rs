//! What moves tonight in a pool whose bids are a platform's: first money that nobody spends, then what curves prove, else
//! small shifts where they may tell enough.
//!
//! What always holds: moves come with a gain whose interval does not touch nothing, and lead to one of the least size that is
//! worth a person's look; shifts that explore leave the centers
//! where they were, and end where they would tell too little; changes sum to nothing. Missing on purpose: who must be asked.

use super::response::{Gain, Response, gain, is_proven};
use super::{Member, Stays, explore, idle_moves, moves, settle};
use crate::settings::Portfolio as Settings;

/// One campaign of the pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Campaign {
    /// As the split sees it.
    pub member: Member,
    /// Its curve; `None` where nothing is known or it must stay as it is.
    pub response: Option<Response>,
    /// Value of a mean day, which counts where there is no curve.
    pub daily: f64,
    /// Money that it was given and never spends.
    pub idle_micros: i64,
    /// Its budget without exploration.
    pub center_micros: i64,
    /// Up or down, as the night's toss has it; `None` where it may not be shifted.
    pub up: Option<bool>,
}

/// What moves.
#[derive(Clone, Debug, PartialEq)]
pub enum Tonight {
    /// Changes that are proven to gain.
    Proven(Vec<i64>, Gain),
    /// Changes that tell something, or end such; and whose were tossed.
    Explores(Vec<i64>, Vec<bool>),
}

/// What moves tonight, by place. `step_micros` divides all changes; `explores` whether the pool may be shifted at all.
pub fn tonight(
    campaigns: &[Campaign],
    step_micros: i64,
    explores: bool,
    settings: &Settings,
) -> Result<Tonight, Stays> {
    let members: Vec<Member> = campaigns.iter().map(|of| of.member).collect();
    let idle: Vec<i64> =
        campaigns.iter().map(|of| if of.member.may_take { 0 } else { of.idle_micros.max(0) }).collect();
    let by_idle = |members: &[Member], settings: &Settings| idle_moves(members, &idle, step_micros, settings);
    let by_curves = |members: &[Member], settings: &Settings| moves(members, step_micros, settings);
    let found = proven(by_idle, campaigns, &members, &idle, settings)
        .or_else(|| proven(by_curves, campaigns, &members, &idle, settings));
    match found {
        Some((changes, gain)) => Ok(Tonight::Proven(changes, gain)),
        None if explores && settings.explore_share > 0.0 => shifted(campaigns, step_micros, settings),
        None => Err(Stays::NoGain),
    }
}

/// Tonight's changes, if they are proven to gain, and enough is gained where many such nights would lead.
fn proven(
    changes: impl Fn(&[Member], &Settings) -> Result<Vec<i64>, Stays>,
    campaigns: &[Campaign],
    members: &[Member],
    idle_micros: &[i64],
    settings: &Settings,
) -> Option<(Vec<i64>, Gain)> {
    let far: Vec<Member> = members.iter().map(|member| Member { move_max_micros: i64::MAX, ..*member }).collect();
    let unbounded = Settings { pool_share_max: 1.0, ..settings.clone() };
    let far = gain_of(&changes(&far, &unbounded).ok()?, campaigns, idle_micros)?;
    let tonight = changes(members, settings).ok()?;
    let gain = gain_of(&tonight, campaigns, idle_micros)?;
    (is_proven(&gain) && far.mid >= settings.gain_min).then_some((tonight, gain))
}

fn gain_of(changes: &[i64], campaigns: &[Campaign], idle_micros: &[i64]) -> Option<Gain> {
    // What is never spent brings nothing, so giving it up loses nothing.
    let felt: Vec<i64> =
        changes.iter().zip(idle_micros).map(|(change, idle)| if *idle > 0 { 0 } else { *change }).collect();
    let responses: Vec<Option<&Response>> = campaigns.iter().map(|of| of.response.as_ref()).collect();
    let budgets: Vec<i64> = campaigns.iter().map(|of| of.member.budget_micros).collect();
    let beside = campaigns.iter().filter(|of| of.response.is_none()).map(|of| of.daily).sum();
    gain(&responses, &budgets, &felt, beside)
}

/// Up or down where that may tell enough; back to the centers where it no longer does.
fn shifted(campaigns: &[Campaign], step_micros: i64, settings: &Settings) -> Result<Tonight, Stays> {
    let centers: Vec<i64> = campaigns.iter().map(|of| of.center_micros).collect();
    let movable: Vec<i64> =
        campaigns.iter().map(|of| of.center_micros.saturating_sub(of.member.floor_micros)).collect();
    let known: Vec<_> = campaigns
        .iter()
        .map(|of| Some(of.response.as_ref().filter(|_| of.up.is_some())?.marginal(of.center_micros)))
        .collect();
    let part = explore::worth_learning(&known, &centers, &movable, settings);
    let up: Vec<Option<bool>> = campaigns.iter().zip(&part).map(|(of, part)| of.up.filter(|_| *part)).collect();
    let shifts = explore::shifts(&centers, &up, settings);
    let wanted: Vec<f64> = shifts
        .iter()
        .zip(campaigns)
        .map(|(shift, of)| shift + (of.center_micros.saturating_sub(of.member.budget_micros)) as f64)
        .collect();
    let free: Vec<Member> = campaigns.iter().map(|of| Member { may_take: true, ..of.member }).collect();
    match settle(&free, &wanted, step_micros, settings) {
        Ok(changes) => Ok(Tonight::Explores(changes, part)),
        Err(stays) => Err(if part.contains(&true) { stays } else { Stays::TooLittleToLearn }),
    }
}

#[cfg(test)]
mod tests;
