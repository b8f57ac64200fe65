// What Paceline does about an alert, and what a person can do. The words are those of the handbook (commands.md, Alerts); a
// test holds them to it.

/** By kind; rules and goals of an account go by the word before their name. */
const HELP = {
  rule: ["None.", "What the rule was written for."],
  goal_at_risk: ["None.", "Look at what it takes on the campaign's page."],
  hard_stop: ["Pause, holder daily_cap, until the local day ends.", "Nothing; it is the budget doing its work. Raise the budget if you want more."],
  early_stop: ["None of its own.", "Lower the lowest bid (bid_min_micros), or give more budget."],
  runaway: ["Pause for 15 min, then once with half the bid; the second time a person must approve.", "Look at prices, bot traffic, a wrong bid. paceline halt if unsure."],
  underspend_risk: ["Bids go up where they may.", "By what binds: raise the highest bid (bid_max_micros), loosen the target, widen the targeting."],
  cost_spike: ["Raises held 60 min.", "Look at auction prices, placements, a competitor."],
  cpa_break: ["None; the target loop follows by itself.", "Look at landing page, stock, prices."],
  underperformer: ["A pause is proposed once a day; one campaign in twenty runs on with 5 % of its budget as a control.", "Approve or reject; a rejection holds four weeks. Look at offer, audience, landing page."],
  breaker: ["Nothing but stops leaves the account until that is over.", "Look at what its campaigns were sent, and at the bounds of their specifications."],
  spec_jump: ["The old number holds.", "paceline proposals approve spec/CAMPAIGN/VERSION (where accounts share the name, with --account ID), or send a corrected version."],
  data_gap: ["Increases held; dead: only emergencies.", "Look at the feed, then at Paceline's lag."],
  feed_silent: ["No raise.", "Mend the feed at once; pause by hand if it lasts."],
  delivery_stopped: ["No raise, loops frozen; after recovery slow raises for 30 min.", "Look at the platform: disapproved ads, billing, an empty audience."],
  tracking_break: ["The target freezes. Bids are not cut for it.", "Look at the pixel, the tag manager, the import."],
  conversions_without_clicks: ["The target freezes.", "A pixel that fires twice, an import, fraud."],
  click_rate_spike: ["Raises held 60 min. The money stays counted.", "Bots, or a dead feed of impressions."],
  invalid_traffic: ["None.", "Exclude the source; claim the money back as corrections."],
  experiment_over: ["The first arm's numbers hold, or the winner's.", "Read it, change the policy, remove the block."],
  first_touch_association: ["None: it is no cause.", "Try it: an experiment tells whether more such touches bring more."],
  unknown_campaign: ["They wait in quarantine and are applied when it arrives.", "Publish the specification."],
  quarantine_full: ["They are counted nowhere, nor applied later.", "Publish the specifications, or stop what writes strange campaign ids; send what is missing as corrections."],
  currency_mismatch: ["They wait.", "Mend the sender or the specification."],
  ack_missing: ["Raises held, one tried each hour; a pause is sent again.", "Critical: pause by hand. Then look at the ad-buying system."],
  value_mismatch: ["It is left alone for 24 h.", "Agree who sets what: bid_control, budget_control."],
  halt_outdated: ["It stops nothing.", "Halt again if it is meant."],
  clock_jump: ["Increases held 15 min.", "Look at the outage, at NTP."],
  policy_invalid: ["The one before stays.", "paceline policy check, apply again."],
  integrity_hold: ["Latched; decreases only.", "Runbook, then paceline release --scope integrity --reason \"…\"."],
  history_lost: ["Windows and totals begin anew.", "Send corrections for what is missing."],
};

/** `{does, todo}` of an alert's kind; null for a kind that is not known here. */
export function help(kind) {
  const found = HELP[kind] ?? HELP[String(kind).split(":")[0]];
  return found ? { does: found[0], todo: found[1] } : null;
}
