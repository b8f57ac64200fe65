//! An account's commands of the last hour: what its allowances and its breaker count.
//!
//! What always holds: a question costs a search and no pass over the commands, because an account of thousands of
//! campaigns has thousands of commands in an hour and asks with each of them; sums saturate. Serialized as a plain list.

use model::time::{HOUR_MS, MINUTE_MS, Millis};
use serde::{Deserialize, Serialize};

/// One issued command, as the account's allowances remember it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// When.
    pub at: Millis,
    /// The guard changed it.
    pub clamped: bool,
    /// By how much it raised a daily budget.
    pub budget_increase_micros: i64,
}

/// What an account's commands of the last hour come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// Commands of the last hour.
    pub hour: i64,
    /// By how much they raised daily budgets.
    pub budget_increases_micros: i64,
    /// Commands of the last quarter of an hour.
    pub quarter: i64,
    /// Of these, those that the guard changed.
    pub quarter_clamped: i64,
}

/// Commands by their time, with the sums of all up to each.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Command>", into = "Vec<Command>")]
pub struct Commands {
    known: Vec<Known>,
    /// Those before it are older than an hour: they go when they are the half, and count for nothing.
    live: usize,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    command: Command,
    clamped: i64,
    increases: i128,
}

impl Commands {
    /// Takes a command; what is older than an hour goes.
    pub fn push(&mut self, command: Command) {
        // In order but for what a log tells late.
        let place = self.known.partition_point(|known| known.command.at <= command.at);
        let none = Known { command, clamped: 0, increases: 0 };
        self.known.insert(place, none);
        self.live += usize::from(place < self.live);
        self.add_up(place);
        self.live = self.after(command.at.saturating_sub(HOUR_MS)).max(self.live);
        if self.live > self.known.len() / 2 {
            self.known.drain(..self.live);
            self.live = 0;
            // The sums of those that went must not count for those that stay.
            self.add_up(0);
        }
    }

    /// Counts of the last hour.
    pub fn recent(&self, now: Millis) -> Recent {
        let hour = self.after(now.saturating_sub(HOUR_MS)).max(self.live);
        let quarter = self.after(now.saturating_sub(15 * MINUTE_MS)).max(self.live);
        let all = self.known.len();
        let [(last_clamped, last_increases), (_, increases), (clamped, _)] =
            [all, hour, quarter].map(|end| self.sums_before(end));
        Recent {
            hour: (all - hour) as i64,
            budget_increases_micros: i64::try_from(last_increases - increases).unwrap_or(i64::MAX),
            quarter: (all - quarter) as i64,
            quarter_clamped: last_clamped - clamped,
        }
    }

    fn after(&self, instant: Millis) -> usize {
        self.known.partition_point(|known| known.command.at <= instant)
    }

    fn sums_before(&self, end: usize) -> (i64, i128) {
        end.checked_sub(1).map_or((0, 0), |last| (self.known[last].clamped, self.known[last].increases))
    }

    fn add_up(&mut self, from: usize) {
        let (mut clamped, mut increases) = self.sums_before(from);
        for known in &mut self.known[from..] {
            clamped += i64::from(known.command.clamped);
            increases += i128::from(known.command.budget_increase_micros.max(0));
            (known.clamped, known.increases) = (clamped, increases);
        }
    }
}

impl From<Vec<Command>> for Commands {
    fn from(commands: Vec<Command>) -> Self {
        let known = commands.into_iter().map(|command| Known { command, clamped: 0, increases: 0 }).collect();
        let mut commands = Self { known, live: 0 };
        commands.known.sort_by_key(|known| known.command.at);
        commands.add_up(0);
        commands
    }
}

impl From<Commands> for Vec<Command> {
    fn from(commands: Commands) -> Self {
        commands.known[commands.live..].iter().map(|known| known.command).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One pass over a plain list, as it was.
    fn naive(commands: &[Command], now: Millis) -> Recent {
        let within = |span: Millis| commands.iter().filter(move |command| command.at > now.saturating_sub(span));
        Recent {
            hour: within(HOUR_MS).count() as i64,
            budget_increases_micros: within(HOUR_MS).fold(0, |sum, one| sum.saturating_add(one.budget_increase_micros)),
            quarter: within(15 * MINUTE_MS).count() as i64,
            quarter_clamped: within(15 * MINUTE_MS).filter(|command| command.clamped).count() as i64,
        }
    }

    proptest! {
        #[test]
        fn counts_are_those_of_one_pass_also_after_a_restore_and_out_of_order(
            steps in prop::collection::vec((0..5 * MINUTE_MS, any::<bool>(), 0..i64::MAX, 0..20_u8), 1..200),
            small in any::<bool>(),
        ) {
            let (mut commands, mut list, mut now) = (Commands::default(), Vec::new(), 0);
            for (step, clamped, budget_increase_micros, late) in steps {
                now += step;
                // Sums of great amounts saturate, which hides what is counted too much.
                let budget_increase_micros = if small { budget_increase_micros % 1_000 } else { budget_increase_micros };
                let at = if late == 0 { now - 10 * MINUTE_MS } else { now };
                let command = Command { at, clamped, budget_increase_micros };
                list.retain(|known: &Command| known.at > at.saturating_sub(HOUR_MS));
                list.push(command);
                commands.push(command);
                prop_assert_eq!(commands.recent(now), naive(&list, now));
                let bytes = postcard::to_stdvec(&commands).unwrap();
                let again: Commands = postcard::from_bytes(&bytes).unwrap();
                prop_assert_eq!(again.recent(now + MINUTE_MS), naive(&list, now + MINUTE_MS));
            }
        }
    }
}
