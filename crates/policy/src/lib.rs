//! One module per question a decision asks; pure, deterministic, integer money.
