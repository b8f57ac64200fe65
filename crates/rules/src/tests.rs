use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Names and what they are worth.
#[derive(Clone, Debug, Default)]
struct World(BTreeMap<&'static str, Option<Value<'static>>>);

impl Names for World {
    fn kind(&self, name: &str) -> Option<Kind> {
        Some(match name {
            "spend" | "day.cpa" | "absent" => Kind::Number,
            "hour" => Kind::Whole,
            "channel" | "labels.brand" => Kind::Text,
            "paused" => Kind::Bool,
            _ => return None,
        })
    }

    fn all(&self) -> Vec<String> {
        ["spend", "day.cpa", "absent", "hour", "channel", "labels.brand", "paused"].map(String::from).to_vec()
    }
}

impl Facts for World {
    fn value(&self, name: &str) -> Option<Value<'_>> {
        self.0.get(name).copied().flatten()
    }
}

fn world() -> World {
    World(BTreeMap::from([
        ("spend", Some(Value::Number(50.5))),
        ("day.cpa", Some(Value::Number(12.0))),
        ("absent", None),
        ("hour", Some(Value::Whole(14))),
        ("channel", Some(Value::Text("search"))),
        ("labels.brand", Some(Value::Text("north"))),
        ("paused", Some(Value::Bool(false))),
    ]))
}

fn holds(text: &str) -> Result<bool, Absent> {
    Expression::condition(text, &world()).unwrap_or_else(|mistake| panic!("{text}: {mistake}")).holds(&world())
}

fn refused(text: &str) -> String {
    Expression::condition(text, &world()).expect_err(text).to_string()
}

#[test]
fn a_condition_says_what_it_reads_like() {
    for text in [
        "spend > 50",
        "day.cpa == 12 && hour >= 9 && hour < 18",
        "channel in ['search', 'social'] && labels['brand'] == 'north'",
        "labels.brand.startsWith('no') && channel.contains('arc') && channel.endsWith('h')",
        "!paused && spend / 10 + 1.5 > 6",
        "hour / 3 == 4 && hour % 3 == 2 && -hour == -14",
        "paused ? spend > 100 : spend > 50",
        "has(day.cpa) && (spend - 0.5) * 2 == 100",
    ] {
        assert_eq!(holds(text), Ok(true), "{text}");
    }
    assert_eq!(holds("spend < 50 || channel == 'social'"), Ok(false));
}

#[test]
fn what_is_not_known_makes_nothing_true_or_false_unless_it_is_not_needed() {
    let absent = || Err(Absent::Name("absent".into()));
    for text in
        ["absent > 1", "!(absent > 1)", "absent > 1 && spend > 1", "spend > 99 || absent > 1", "absent == absent"]
    {
        assert_eq!(holds(text), absent(), "{text}");
    }
    assert_eq!(holds("absent > 1 || spend > 1"), Ok(true));
    assert_eq!(holds("spend > 99 && absent > 1"), Ok(false));
    assert_eq!(holds("absent > 1 && spend > 99"), Ok(false));
    assert_eq!(holds("spend / (spend - spend) > 1"), Err(Absent::NotFinite));
    assert_eq!(holds("hour / 0 > 1"), Err(Absent::NotFinite));
    assert_eq!(holds("9223372036854775807 + hour > 1"), Err(Absent::NotFinite));
}

#[test]
fn a_mistake_is_told_with_its_place_and_the_nearest_name() {
    assert_eq!(refused("spend > 1 &&\n  chanel == 'x'"), "line 2, column 3: chanel is no name; did you mean channel?");
    assert_eq!(refused("day.cap > 1"), "line 1, column 1: day.cap is no name; did you mean day.cpa?");
    assert!(refused("channel > 5").ends_with("> of text and a whole number"), "{}", refused("channel > 5"));
    assert!(refused("spend").ends_with("is a number, but a condition is true or false: compare it with something"));
    assert!(refused("spend >").contains("is no expression"), "{}", refused("spend >"));
    assert!(refused("[1].all(x, x > 0)").contains("rules do not know all, exists"));
    assert!(refused("channel.matches('a+')").contains("regular expressions"));
    assert!(refused("channel.startWith('a')").contains("did you mean startsWith?"));
    assert!(refused("spend && true").contains("must be true or false"));
}

#[test]
fn what_is_too_long_or_too_deep_is_refused_before_it_is_parsed() {
    let long = format!("spend > {}", "1".repeat(TEXT_BYTES_MAX));
    assert!(refused(&long).contains("at most 2000"));
    for deep in ["(", "[", "!", "-", "true ? (", "{"] {
        assert!(refused(&deep.repeat(NESTING_MAX + 1)).contains("more than 16"), "{deep}");
    }
    let wide = vec!["true"; NODES_MAX - 60].join("||");
    assert!(refused(&wide).contains("more than 256"));
}

/// Texts that are nearly expressions.
fn nearly() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "spend",
        "hour",
        "day",
        ".cpa",
        "channel",
        "absent",
        "labels",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "'a'",
        "\"",
        "'",
        "1",
        "2.5",
        "0x",
        "1e999",
        "-",
        "!",
        "&&",
        "||",
        "?",
        ":",
        ",",
        ".",
        "==",
        "<",
        "in",
        "has",
        "true",
        "null",
        "b'x'",
        "5u",
        "\\u",
        "r'",
        "'''",
        "//",
        "\n",
        " ",
        "`",
        "\u{0}",
        "é",
        "all(x, x)",
        "9223372036854775808",
    ]);
    prop::collection::vec(words, 0..24).prop_map(|words| words.concat())
}

/// Expressions of numbers and conditions that mix no whole numbers with others, as CEL wants it.
fn strict() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("spend".to_owned()),
        Just("day.cpa".to_owned()),
        Just("absent".to_owned()),
        (-99_i32..99).prop_map(|n| format!("({n}.5)"))
    ];
    let whole = prop_oneof![Just("hour".to_owned()), (0_i32..50).prop_map(|n| n.to_string())];
    let operator = prop::sample::select(vec!["+", "-", "*", "/"]);
    let compare = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
    let sum = |one: BoxedStrategy<String>| {
        (one.clone(), operator.clone(), one).prop_map(|(a, o, b)| format!("({a} {o} {b})")).boxed()
    };
    let numbers = prop_oneof![number.clone().boxed(), sum(number.boxed())];
    let wholes = prop_oneof![whole.clone().boxed(), sum(whole.boxed())];
    let leaf = prop_oneof![
        (numbers.clone(), compare.clone(), numbers).prop_map(|(a, c, b)| format!("{a} {c} {b}")),
        (wholes.clone(), compare, wholes).prop_map(|(a, c, b)| format!("{a} {c} {b}")),
        Just("channel == 'search'".to_owned()),
        Just("channel.startsWith('x')".to_owned()),
        Just("paused".to_owned()),
        Just("hour in [13, 14]".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(vec!["&&", "||"]), inner.clone())
                .prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

/// What the parser's own interpreter says; `None` where it has no value.
fn judged(text: &str) -> Option<bool> {
    let program = cel::Program::compile(text).ok()?;
    let mut context = cel::Context::default();
    let day = std::collections::HashMap::from([("cpa".to_owned(), 12.0)]);
    context.add_variable("spend", 50.5).ok()?;
    context.add_variable("hour", 14_i64).ok()?;
    context.add_variable("channel", "search".to_owned()).ok()?;
    context.add_variable("paused", false).ok()?;
    context.add_variable("day", day).ok()?;
    match program.execute(&context) {
        Ok(cel::Value::Bool(value)) => Some(value),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_an_expression_or_a_mistake(text in "(?s).{0,60}", near in nearly()) {
        for text in [text, near] {
            if let Ok(read) = Expression::read(&text, &world()) {
                let _ = read.evaluate(&world());
                let _ = read.evaluate(&World::default());
            }
        }
    }

    #[test]
    fn what_is_known_is_judged_as_by_the_reference_interpreter(text in strict()) {
        let ours = Expression::condition(&text, &world());
        prop_assume!(ours.is_ok());
        let ours = ours.unwrap();
        // A quotient by zero is infinite there and absent here; everything else is the same.
        let theirs = judged(&text);
        match ours.holds(&world()) {
            Ok(value) => prop_assert!(theirs.is_none() || theirs == Some(value), "{text}: {value} {theirs:?}"),
            Err(Absent::Name(_)) => prop_assert!(!text.contains('/') && theirs.is_none() || text.contains('/'), "{text}: {theirs:?}"),
            Err(Absent::NotFinite) => prop_assert!(text.contains('/') || theirs.is_none(), "{text}: {theirs:?}"),
        }
    }
}
