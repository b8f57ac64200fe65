//! Stage 2: belief, ledger, decide, apply; a pure function of the journal.
