//! Touches of a user to credit for a conversion.
