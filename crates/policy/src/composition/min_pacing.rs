//! The lower of the budget's and the target's bid.
//!
//! Never the chain "target bid, then throttle": that one can violate the target in proportion to time.

use super::{Binding, Composed, Composition, Parts};
use crate::arithmetic::log_bid;
use crate::hold::Hold;

/// u = min(u_B, u_T), between the bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MinPacing;

impl Composition for MinPacing {
    fn compose(&self, parts: &Parts) -> Result<Composed, Hold> {
        if parts.bid_min_micros <= 0 || parts.bid_max_micros < parts.bid_min_micros {
            return Err(Hold::NoBounds);
        }
        let (low, high) = (log_bid(parts.bid_min_micros)?, log_bid(parts.bid_max_micros)?);
        let (wanted, part) = match (parts.budget_log_bid, parts.target_log_bid) {
            (Some(budget), Some(target)) if target < budget => (target, Binding::Target),
            (Some(budget), _) => (budget, Binding::Budget),
            (None, Some(target)) => (target, Binding::Target),
            (None, None) => return Err(Hold::NoBudget),
        };
        let binding = if wanted >= high {
            Binding::BidMax
        } else if wanted <= low {
            Binding::BidMin
        } else if part == Binding::Budget && parts.supply_bound {
            Binding::Supply
        } else {
            part
        };
        Ok(Composed { log_bid: wanted.clamp(low, high), binding, at_bound: wanted >= high || wanted <= low })
    }
}

#[cfg(test)]
mod tests {
    use super::super::is_worth_a_command;
    use super::*;
    use crate::settings::Composition as Settings;
    use proptest::prelude::*;

    fn parts(budget: Option<i64>, target: Option<i64>) -> Parts {
        Parts {
            budget_log_bid: budget.map(|b| log_bid(b).unwrap()),
            target_log_bid: target.map(|b| log_bid(b).unwrap()),
            bid_min_micros: 100_000,
            bid_max_micros: 2_000_000,
            supply_bound: false,
        }
    }

    #[test]
    fn the_lower_bid_binds() {
        let binding = |budget, target| MinPacing.compose(&parts(budget, target)).map(|c| c.binding.as_str());
        assert_eq!(binding(Some(500_000), Some(600_000)), Ok("budget"));
        assert_eq!(binding(Some(600_000), Some(500_000)), Ok("target"));
        assert_eq!(binding(Some(500_000), None), Ok("budget"));
        assert_eq!(binding(Some(3_000_000), None), Ok("bid_max"));
        assert_eq!(binding(Some(50_000), Some(500_000)), Ok("bid_min"));
        assert_eq!(binding(None, None), Err(Hold::NoBudget));
        let supply = Parts { supply_bound: true, ..parts(Some(500_000), None) };
        assert_eq!(MinPacing.compose(&supply).unwrap().binding, Binding::Supply);
    }

    #[test]
    fn six_hundredths_are_worth_a_command() {
        let at = |log_bid, at_bound| Composed { log_bid, binding: Binding::Budget, at_bound };
        let worth =
            |composed, published, emergency| is_worth_a_command(&composed, published, emergency, &Settings::default());
        assert!(!worth(at(59_999, false), Some(0), false) && worth(at(60_000, false), Some(0), false));
        assert!(worth(at(-60_000, false), Some(0), false) && worth(at(0, false), None, false));
        assert!(worth(at(40_000, true), Some(0), false) && !worth(at(20_000, true), Some(0), false));
        assert!(worth(at(1, false), Some(0), true) && !worth(at(0, true), Some(0), true));
    }

    proptest! {
        #[test]
        fn no_part_is_exceeded_and_bounds_hold(n in any::<[i64; 4]>(), has in any::<[bool; 2]>()) {
            let parts = Parts {
                budget_log_bid: has[0].then_some(n[0]), target_log_bid: has[1].then_some(n[1]),
                bid_min_micros: n[2], bid_max_micros: n[3], supply_bound: false,
            };
            if let Ok(composed) = MinPacing.compose(&parts) {
                let low = log_bid(n[2]).unwrap();
                prop_assert!(composed.log_bid >= low && composed.log_bid <= log_bid(n[3]).unwrap());
                for part in [parts.budget_log_bid, parts.target_log_bid].into_iter().flatten() {
                    prop_assert!(composed.log_bid <= part.max(low));
                }
            }
        }
    }
}
