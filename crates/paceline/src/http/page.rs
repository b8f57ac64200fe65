//! The dashboard's page and what it is made of, all inside the binary.
//!
//! What always holds: nothing is fetched from elsewhere, no script or style stands in the markup, and the browser is told
//! to refuse both. Data come through the API alone. Missing on purpose: a build step.

use super::Shared;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// Only what this origin serves; no frame, no form target, no markup made of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
/// Asked again each time, and answered 304 while the build is the same: a new build is seen at once.
const CACHING: &str = "no-cache";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

const INDEX: &str = include_str!("assets/index.html");

macro_rules! assets {
    ($($name:literal: $kind:expr),* $(,)?) => {
        /// Name, content type and content of all that the page asks for.
        const ASSETS: &[(&str, &str, &str)] = &[$(($name, $kind, include_str!(concat!("assets/", $name)))),*];
    };
}

assets! {
    "act.js": SCRIPT,
    "alert-help.js": SCRIPT,
    "api.js": SCRIPT,
    "app.js": SCRIPT,
    "back.js": SCRIPT,
    "base.css": CSS,
    "breakdown.js": SCRIPT,
    "by-hour.js": SCRIPT,
    "campaign-day.js": SCRIPT,
    "campaign-facts.js": SCRIPT,
    "campaign-flight.js": SCRIPT,
    "chart.js": SCRIPT,
    "dom.js": SCRIPT,
    "favicon.svg": SVG,
    "format.js": SCRIPT,
    "goals.js": SCRIPT,
    "kpis.js": SCRIPT,
    "live.js": SCRIPT,
    "parts.css": CSS,
    "portfolio-columns.js": SCRIPT,
    "rules.js": SCRIPT,
    "spark.js": SCRIPT,
    "states.js": SCRIPT,
    "table.js": SCRIPT,
    "uPlot.LICENSE.txt": TEXT,
    "uPlot.esm.js": SCRIPT,
    "uPlot.min.css": CSS,
    "view-alerts.js": SCRIPT,
    "view-audit.js": SCRIPT,
    "view-campaign.js": SCRIPT,
    "view-experiments.js": SCRIPT,
    "view-halts.js": SCRIPT,
    "view-portfolio.js": SCRIPT,
    "view-proposals.js": SCRIPT,
    "view-quality.js": SCRIPT,
    "why.js": SCRIPT,
    "words.js": SCRIPT,
}

/// The page at `/` and its parts below `/assets`.
pub fn routes() -> Router<Shared> {
    Router::new().route("/", get(index)).route("/assets/{name}", get(asset))
}

async fn index(asked: HeaderMap) -> Response {
    file(HTML, INDEX, &asked)
}

async fn asset(Path(name): Path<String>, asked: HeaderMap) -> Response {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, content)) => file(kind, content, &asked),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn file(kind: &'static str, content: &'static str, asked: &HeaderMap) -> Response {
    let tag = tag(content);
    let headers = headers(&tag);
    if asked.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, kind)], content).into_response()
}

/// What the page needs besides the headers that every answer gets at the door.
fn headers(tag: &str) -> [(HeaderName, String); 3] {
    [
        (header::ETAG, tag.to_owned()),
        (header::CACHE_CONTROL, CACHING.into()),
        (header::CONTENT_SECURITY_POLICY, POLICY.into()),
    ]
}

/// Changes with the content; who could make two contents with one tag could replace the binary too.
fn tag(content: &str) -> String {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What stands between quotes after any of the words.
    fn quoted_after<'a>(text: &'a str, words: &[&str]) -> BTreeSet<&'a str> {
        let rest = |word: &str| text.split(word).skip(1).filter_map(|rest| rest.split('"').next()).collect::<Vec<_>>();
        words.iter().flat_map(|word| rest(word)).collect()
    }

    fn served(name: &str) -> bool {
        ASSETS.iter().any(|(known, ..)| *known == name)
    }

    #[test]
    fn whatever_the_page_or_a_module_asks_for_is_served() {
        let asked = quoted_after(INDEX, &["src=\"/assets/", "href=\"/assets/"]);
        assert!(asked.len() >= 4, "the page asks for {asked:?}");
        asked.iter().for_each(|name| assert!(served(name), "{name} is not served"));
        for (module, _, content) in ASSETS.iter().filter(|(_, kind, _)| *kind == SCRIPT) {
            for name in quoted_after(content, &["from \"./", "import(\"./"]) {
                assert!(served(name), "{module} asks for {name}, which is not served");
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/assets");
        for file in std::fs::read_dir(folder).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            assert!(name == "index.html" || served(&name), "{name} is not served");
        }
    }

    #[test]
    fn nothing_comes_from_elsewhere_and_no_script_or_style_stands_in_the_markup() {
        let ours = ASSETS.iter().filter(|(name, ..)| !name.starts_with("uPlot"));
        for (name, _, content) in ours.chain([&("index.html", HTML, INDEX)]) {
            let outside = content.replace("http://www.w3.org/2000/svg", "");
            assert!(!outside.contains("http://") && !outside.contains("https://"), "{name} names an address outside");
        }
        assert!(!INDEX.contains("<style") && !INDEX.contains("style="), "a style stands in the markup");
        assert!(INDEX.matches("<script").count() == INDEX.matches("<script type=\"module\" src=").count());
        assert!(!POLICY.contains("unsafe") && !POLICY.contains('*'));
    }

    #[tokio::test]
    async fn a_page_that_is_known_is_not_sent_again() {
        let first = file(SCRIPT, "content", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_TYPE], SCRIPT);
        assert_eq!(first.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
        let mut asked = HeaderMap::new();
        asked.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(file(SCRIPT, "content", &asked).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(file(SCRIPT, "other content", &asked).status(), StatusCode::OK);
    }
}
