//! x
mod detect_scores { pub mod nab; pub mod traffic; pub mod injection; pub mod baselines; }
use detect_scores::{nab, injection::{self,*}, baselines};
use policy::detect::*;

fn scores(series: &nab::Labelled, settings: &Settings) -> (Vec<f64>, Vec<usize>) {
    let mut d = SeriesDetector::new(settings);
    let mut alerts = vec![];
    let s = series.rows.iter().enumerate().map(|(i,(at, v))| { let r = d.observe(&Row { at_ms: *at, value: *v, count: None }, settings); if r.alert.is_some() { alerts.push(i) }; r.score }).collect();
    (s, alerts)
}
fn ours(c: &Campaign, settings: &Settings, counts: bool) -> Vec<(usize, Direction)> {
    let mut d = SeriesDetector::new(settings);
    c.rows.iter().enumerate().filter_map(|(i,(at, v, n))| d.observe(&Row { at_ms: *at, value: *v, count: counts.then_some(*n) }, settings).alert.map(|a| (i, a.direction))).collect()
}

fn show(name: &str, f: &dyn Fn(&Campaign) -> Vec<(usize, Direction)>) { show1(&format!("{name} calm"), &CALM, f); show1(&format!("{name} rest"), &RESTLESS, f); }
fn show1(name: &str, market: &Market, f: &dyn Fn(&Campaign) -> Vec<(usize, Direction)>) {
    let (mut all, mut clean) = (Outcome::default(), Outcome::default());
    let mut bands = [Outcome::default(), Outcome::default(), Outcome::default()];
    for seed in 0..400 {
        let c = injection::campaign(seed, true, market);
        let a = f(&c);
        all.note(&c, &a);
        let b = if c.events_a_day < 700.0 {0} else if c.events_a_day < 8000.0 {1} else {2};
        bands[b].note(&c, &a);
        let c = injection::campaign(seed, false, market);
        clean.note(&c, &f(&c));
    }
    println!("{name:28} recall {:.3} fa {:.3} clean {:.3} delay {} right {:.3} by {:?} bands {:?}", all.recall(), all.false_a_week(), clean.false_a_week(), all.median_delay(), all.right as f64/all.found as f64,
        all.by_factor.map(|(n,f)| (100*f/n.max(1))), bands.map(|b| ((b.recall()*100.0) as i64, (b.false_a_week()*1000.0) as i64)));
}

#[test]
fn look() {
    let base = Settings::default();
    let all = nab::series();
    let runs = std::env::var("VARY").unwrap_or_default();
    let mut variants: Vec<(String, Settings)> = vec![("default".into(), base.clone())];
    for v in runs.split(';').filter(|v| !v.is_empty()) {
        let mut t = String::new();
        for kv in v.split(',') { t += &format!("{}\n", kv); }
        let s: Settings = toml::from_str(&t).unwrap();
        variants.push((v.into(), s));
    }
    for (name, settings) in &variants {
    let dev: Vec<_> = all.iter().take(2).map(|s| (s, scores(s, settings))).collect();
    for (s, (_sc, alerts)) in &dev {
        println!("{} {:?} alerts {:?}", s.name, s.windows, alerts.iter().map(|a| (a, s.windows.iter().any(|(f,t)| (*f..=*t).contains(a)))).collect::<Vec<_>>());
    }
    let set: Vec<_> = dev.iter().map(|(s,(sc,_))| (*s, sc.clone())).collect();
    println!("{name} best {:?}", nab::best(&set, &nab::STANDARD));
    print!("   ");
    for th in [0.4,0.45,0.5,0.55,0.6] { print!(" {:.1}", nab::score(&set, th, &nab::STANDARD).points); }
    println!();
    let t: Vec<_> = (0..40).map(detect_scores::traffic::sensor).collect();
    let set: Vec<_> = t.iter().map(|s| (s, scores(s, settings).0)).collect();
    println!("best traffic {:?}", nab::best(&set, &nab::STANDARD));
    print!("   ");
    for th in [0.4,0.45,0.5,0.55,0.6] { print!(" {:.1}", nab::score(&set, th, &nab::STANDARD).points); }
    println!();
    if std::env::var("FAST").is_ok() { continue; }
    for alert_days in [100.0, 200.0, 300.0] {
        let s = Settings { alert_days, ..settings.clone() };
        show(&format!("{alert_days}"), &|c| ours(c, &s, true)); show(&format!("{alert_days} nocount"), &|c| ours(c, &s, false));
    }
    }
    if std::env::var("BASE").is_ok() {
        show("half", &|c| baselines::half_off_yesterday(&c.rows.iter().map(|r| r.1).collect::<Vec<_>>()));
        for (l, s) in [(6.0,4.5),(10.0,5.0),(15.0,6.0),(20.0,7.0),(30.0, 8.0)] {
            show(&format!("sums {l} {s}"), &|c| baselines::seasonal_sums(&c.rows.iter().map(|r| r.1).collect::<Vec<_>>(), l, s));
        }
    }
}
