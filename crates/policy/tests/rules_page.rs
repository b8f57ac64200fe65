//! The examples of rules do what they say, and the handbook's page on rules names what the sources name.

use policy::rule::{WINDOWS, all_names};
use policy::settings::check;

const EXAMPLES: &str = include_str!("../../../deploy/policy/rules.toml");
const PAGE: &str = include_str!("../../../deploy/docs/rules.md");

#[test]
fn the_examples_are_complete_and_pass_their_own_tests() {
    let policy = check(EXAMPLES).expect("the examples have no mistakes");
    assert_eq!((policy.rules.len(), policy.goals.len()), (4, 1));
    for rule in &policy.rules {
        assert!(!rule.tests.is_empty(), "{} has no test", rule.name);
        for case in &rule.tests {
            assert_eq!(rule.try_case(case).0, case.expect, "{}, {}", rule.name, case.name);
        }
    }
}

#[test]
fn every_example_of_the_page_is_a_policy_that_passes_its_own_tests() {
    let examples: Vec<&str> = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 3);
    for example in examples {
        let policy = check(example).unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{example}"));
        for rule in &policy.rules {
            rule.tests.iter().for_each(|case| assert_eq!(rule.try_case(case).0, case.expect, "{}", case.name));
        }
    }
}

#[test]
fn every_name_of_a_rule_has_its_row() {
    let has_row = |name: &str| PAGE.lines().any(|line| line.starts_with(&format!("| `{name}` |")));
    for name in all_names() {
        match name.split_once('.').filter(|(window, _)| WINDOWS.iter().any(|known| known.name() == *window)) {
            Some((window, figure)) => assert!(has_row(window) && has_row(figure), "{name}"),
            None => assert!(has_row(&name), "{name}"),
        }
    }
}
