//! What the user's systems report: impressions, clicks, conversions.
//!
//! Two shapes of the same events: the full records, owned, for those who write them (market, import), and the borrowed
//! projections that the fold reads. Only the projections exist on the hot path.

use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// The three event topics, in the canonical order of the fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EventKind {
    /// An ad was shown.
    Impression,
    /// An ad was clicked, or an own touch (webinar, blog, e-mail) happened.
    Click,
    /// A goal was reached.
    Conversion,
}

impl EventKind {
    /// All kinds in canonical order.
    pub const ALL: [EventKind; 3] = [EventKind::Impression, EventKind::Click, EventKind::Conversion];

    /// Index in [`EventKind::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// An impression or a click as the fold sees it; strings borrow from the record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Touch<'a> {
    /// Unique id, 1 to 64 bytes.
    pub event_id: &'a str,
    /// When it happened.
    pub event_time: Millis,
    /// The advertiser's account.
    pub account_id: &'a str,
    /// The campaign that bought it.
    pub campaign_id: &'a str,
    /// Creative shown.
    pub creative_id: Option<&'a str>,
    /// search, social, display, ...
    pub channel: &'a str,
    /// desktop, mobile, ...
    pub device: &'a str,
    /// ISO 3166 code, empty where unknown.
    pub geo: &'a str,
    /// The user, absent without consent; hashed as soon as the fold sees it.
    pub user_key: Option<&'a str>,
    /// What it cost.
    pub cost_micros: i64,
    /// ISO 4217.
    pub currency: &'a str,
    /// Where it was shown.
    pub placement: Option<&'a str>,
}

/// A conversion as the fold sees it; strings borrow from the record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal<'a> {
    /// Unique id, 1 to 64 bytes.
    pub event_id: &'a str,
    /// When it happened.
    pub event_time: Millis,
    /// The advertiser's account.
    pub account_id: &'a str,
    /// The user, absent without consent.
    pub user_key: Option<&'a str>,
    /// The click it names.
    pub click_id: Option<&'a str>,
    /// purchase, lead, signup, ...
    pub conversion_type: &'a str,
    /// What it was worth.
    pub value_micros: i64,
    /// ISO 4217.
    pub currency: &'a str,
    /// The campaign that a platform claims for it.
    pub campaign_id: Option<&'a str>,
}

/// One decoded event of any topic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// From `ads.impressions`.
    Impression(Touch<'a>),
    /// From `ads.clicks`.
    Click(Touch<'a>),
    /// From `ads.conversions`.
    Conversion(Goal<'a>),
}

/// A full impression record, fields in schema order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each field is documented, with its unit, in schemas/impression.avsc.
pub struct Impression {
    pub event_id: String,
    pub event_time: Millis,
    pub account_id: String,
    pub campaign_id: String,
    pub ad_group_id: Option<String>,
    pub creative_id: Option<String>,
    pub channel: String,
    pub platform: Option<String>,
    pub device: String,
    pub geo: String,
    pub user_key: Option<String>,
    pub variant: Option<String>,
    pub cost_micros: i64,
    pub currency: String,
    pub user_agent: Option<String>,
    pub ip_key: Option<String>,
    pub audience: Option<String>,
    pub placement: Option<String>,
}

/// A full click record, fields in schema order: an impression's, then two of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each field is documented, with its unit, in schemas/click.avsc.
pub struct Click {
    pub event_id: String,
    pub event_time: Millis,
    pub account_id: String,
    pub campaign_id: String,
    pub ad_group_id: Option<String>,
    pub creative_id: Option<String>,
    pub channel: String,
    pub platform: Option<String>,
    pub device: String,
    pub geo: String,
    pub user_key: Option<String>,
    pub variant: Option<String>,
    pub cost_micros: i64,
    pub currency: String,
    pub user_agent: Option<String>,
    pub ip_key: Option<String>,
    pub audience: Option<String>,
    pub placement: Option<String>,
    pub impression_id: Option<String>,
    pub landing: Option<String>,
}

/// A full conversion record, fields in schema order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each field is documented, with its unit, in schemas/conversion.avsc.
pub struct Conversion {
    pub event_id: String,
    pub event_time: Millis,
    pub account_id: String,
    pub user_key: Option<String>,
    pub click_id: Option<String>,
    pub order_id: Option<String>,
    pub conversion_type: String,
    pub value_micros: i64,
    pub currency: String,
    pub campaign_id: Option<String>,
    pub new_customer: Option<bool>,
    pub customer_key: Option<String>,
}

/// The key a writer gives an event, by the contract: `user_key`, else (conversions) `click_id`, else `event_id`.
pub fn partition_key<'a>(user_key: Option<&'a str>, click_id: Option<&'a str>, event_id: &'a str) -> &'a str {
    user_key.or(click_id).unwrap_or(event_id)
}
