//! The simulated world: auctions, users, an ad buyer that obeys commands.
