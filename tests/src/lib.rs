//! Shared tools of the system tests.
