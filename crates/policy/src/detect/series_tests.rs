use super::*;
use proptest::prelude::*;

const HOUR: Millis = 3_600_000;

/// A quiet campaign: a day's wave and noise of 3 %.
fn quiet(hour: i64) -> f64 {
    let wave = 1.0 + 0.4 * libm::sin(core::f64::consts::TAU * (hour % 24) as f64 / 24.0);
    let scattered = libm::sin(hour as f64 * 12.9898) * 43_758.545_3;
    100.0 * wave * (0.95 + 0.1 * (scattered - libm::floor(scattered)))
}

fn run(value: impl Fn(i64) -> f64, hours: i64) -> Vec<Reading> {
    let settings = Settings::default();
    let mut detector = SeriesDetector::new(&settings);
    (0..hours)
        .map(|hour| detector.observe(&Row { at_ms: hour * HOUR, value: value(hour), count: None }, &settings))
        .collect()
}

fn alerts(readings: &[Reading]) -> Vec<(i64, Direction)> {
    let alert = |(hour, reading): (usize, &Reading)| reading.alert.map(|alert| (hour as i64, alert.direction));
    readings.iter().enumerate().filter_map(alert).collect()
}

/// Spend times a factor from hour 800 on, for so many hours.
fn with(factor: f64, hours: i64) -> Vec<(i64, Direction)> {
    alerts(&run(|hour| quiet(hour) * if (800..800 + hours).contains(&hour) { factor } else { 1.0 }, 1_200))
}

#[test]
fn a_quiet_series_is_quiet() {
    let readings = run(quiet, 8 * 168);
    assert_eq!(alerts(&readings), []);
    assert!(readings.iter().skip(400).all(|reading| reading.score < 0.5));
}

#[test]
fn a_doubled_hour_and_a_stop_are_told_at_once_and_once() {
    for (factor, direction) in [(2.0, Direction::Above), (0.0, Direction::Below)] {
        for hours in [1, 6, 24] {
            assert_eq!(with(factor, hours), [(800, direction)], "{factor} for {hours}");
        }
    }
}

#[test]
fn a_small_change_that_stays_is_told_within_hours() {
    let [(at, Direction::Below)] = with(0.8, 24)[..] else { panic!("{:?}", with(0.8, 24)) };
    assert!((800..806).contains(&at), "{at}");
}

#[test]
fn a_level_that_stays_is_told_once_and_the_way_back_is_news_again() {
    for (factor, there, back) in [
        (1.3, Direction::Above, Direction::Below),
        (3.0, Direction::Above, Direction::Below),
        (0.5, Direction::Below, Direction::Above),
    ] {
        for from in [700, 800, 903] {
            let level = |hour: i64| if (from..from + 500).contains(&hour) { factor } else { 1.0 };
            let told = alerts(&run(|hour| quiet(hour) * level(hour), 1_600));
            assert_eq!(told, [(from, there), (from + 500, back)], "x {factor} from {from}");
        }
    }
}

#[test]
fn the_alert_says_what_was_to_be_expected() {
    let readings = run(|hour| if hour == 800 { 500.0 } else { quiet(hour) }, 801);
    let expected = readings[800].alert.unwrap().expected;
    assert!((expected / quiet(800) - 1.0).abs() < 0.1, "{expected} for {}", quiet(800));
    assert!(readings[800].score > 0.5 && readings[800].calm_days_share < 1.0 / 140.0);
}

#[test]
fn an_empty_hour_of_a_campaign_of_two_events_an_hour_is_chance() {
    let settings = Settings::default();
    let mut detector = SeriesDetector::new(&settings);
    let mut told = Vec::new();
    for hour in 0..1_000_i64 {
        // Two events an hour for six weeks, then none.
        let count = if hour < 960 { 2.0 } else { 0.0 };
        let row = Row { at_ms: hour * HOUR, value: 0.5 * count, count: Some(count) };
        told.extend(detector.observe(&row, &settings).alert.map(|_| hour));
    }
    // Two due events that do not come have a chance of 0.14, eight of 0.0003.
    let [at] = told[..] else { panic!("{told:?}") };
    assert!((962..970).contains(&at), "{at}");
}

#[test]
fn a_row_before_the_last_one_or_without_a_number_teaches_nothing() {
    let settings = Settings::default();
    let mut detector = SeriesDetector::new(&settings);
    for hour in 0..100_i64 {
        detector.observe(&Row { at_ms: hour * HOUR, value: quiet(hour), count: None }, &settings);
    }
    let before = detector.clone();
    for (at_ms, value) in [(98 * HOUR, 1e9), (200 * HOUR, f64::NAN), (200 * HOUR, f64::INFINITY), (i64::MIN, 1.0)] {
        assert_eq!(detector.observe(&Row { at_ms, value, count: None }, &settings), Reading::default());
    }
    assert_eq!(detector, before);
}

#[test]
fn its_memory_does_not_grow() {
    let size = |hours| {
        let settings = Settings::default();
        let mut detector = SeriesDetector::new(&settings);
        (0..hours).for_each(|hour| {
            detector.observe(&Row { at_ms: hour * HOUR, value: quiet(hour), count: Some(5.0) }, &settings);
        });
        toml::to_string(&detector).unwrap().lines().filter(|line| line.contains('=')).count()
    };
    assert_eq!(size(400), size(4_000));
}

prop_compose! {
    fn any_row()(step in prop_oneof![0_i64..3 * HOUR, Just(0), Just(HOUR), Just(400 * HOUR), any::<i64>()],
        value in prop_oneof![0.0..1e3_f64, Just(0.0), any::<f64>()],
        count in proptest::option::of(prop_oneof![0.0..100.0_f64, any::<f64>()])) -> (i64, f64, Option<f64>) {
        (step, value, count)
    }
}

fn rows_of(steps: &[(i64, f64, Option<f64>)]) -> Vec<Row> {
    let mut at_ms = 0_i64;
    let mut place = |(step, value, count): &(i64, f64, Option<f64>)| {
        at_ms = at_ms.saturating_add(*step);
        Row { at_ms, value: *value, count: *count }
    };
    steps.iter().map(&mut place).collect()
}

fn read(rows: &[Row]) -> Vec<Reading> {
    let settings = Settings::default();
    let mut detector = SeriesDetector::new(&settings);
    rows.iter().map(|row| detector.observe(row, &settings)).collect()
}

proptest! {
    #[test]
    fn cutting_the_end_changes_no_score_before_it(
        steps in proptest::collection::vec(any_row(), 1..400), cut in 0_usize..400,
    ) {
        let rows = rows_of(&steps);
        let cut = cut.min(rows.len());
        prop_assert_eq!(&read(&rows)[..cut], &read(&rows[..cut])[..]);
    }

    #[test]
    fn any_rows_have_scores_from_0_to_1(steps in proptest::collection::vec(any_row(), 1..400)) {
        for reading in read(&rows_of(&steps)) {
            prop_assert!((0.0..=1.0).contains(&reading.score) && (0.0..=1.0).contains(&reading.calm_days_share));
        }
    }

    #[test]
    fn the_unit_of_the_value_changes_nothing(seed in 0_i64..1_000) {
        // Powers of two scale without rounding.
        let of = |unit: f64| run(|hour| unit * quiet(hour * 31 + seed) * if hour == 300 { 3.0 } else { 1.0 }, 400);
        let scores = |readings: Vec<Reading>| readings.iter().map(|reading| reading.score).collect::<Vec<_>>();
        prop_assert_eq!(scores(of(1.0)), scores(of(1_048_576.0)));
    }
}
