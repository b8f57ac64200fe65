//! Panes, rings, watermarks, lateness and their limits; knows no ads.
