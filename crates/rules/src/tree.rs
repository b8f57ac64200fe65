//! A checked expression and its evaluation.

use crate::Facts;
use std::cmp::Ordering;
use std::fmt;

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Yes or no.
    Bool(bool),
    /// Finite.
    Number(f64),
    /// Whole.
    Whole(i64),
    /// Text.
    Text(&'a str),
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// This name has none.
    Name(String),
    /// Something was divided by zero, or does not fit.
    NotFinite,
}

/// One node; kinds were checked when it was made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Bool(bool),
    Number(f64),
    Whole(i64),
    Text(String),
    Name(String),
    Has(String),
    Not(Box<Node>),
    Negate(Box<Node>),
    Both(Box<[Node; 2]>),
    Either(Box<[Node; 2]>),
    Choice(Box<[Node; 3]>),
    Compare(Comparison, Box<[Node; 2]>),
    Compute(Operator, Box<[Node; 2]>),
    Within(Box<Node>, Vec<Node>),
    Question(Part, Box<[Node; 2]>),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An operator on numbers; `+` joins texts nowhere, since a condition makes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A question about a part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Start,
    End,
    Anywhere,
}

type Result<'a> = std::result::Result<Value<'a>, Absent>;

impl Node {
    pub(crate) fn evaluate<'a>(&'a self, facts: &'a dyn Facts) -> Result<'a> {
        match self {
            Node::Bool(value) => Ok(Value::Bool(*value)),
            Node::Number(value) => Ok(Value::Number(*value)),
            Node::Whole(value) => Ok(Value::Whole(*value)),
            Node::Text(value) => Ok(Value::Text(value)),
            Node::Name(name) => match facts.value(name) {
                Some(Value::Number(value)) if !value.is_finite() => Err(Absent::Name(name.clone())),
                Some(value) => Ok(value),
                None => Err(Absent::Name(name.clone())),
            },
            Node::Has(name) => Ok(Value::Bool(facts.value(name).is_some())),
            Node::Not(node) => Ok(Value::Bool(!node.is_true(facts)?)),
            Node::Negate(node) => match node.evaluate(facts)? {
                Value::Whole(value) => value.checked_neg().map(Value::Whole).ok_or(Absent::NotFinite),
                value => number(-value.number()?),
            },
            Node::Both(nodes) => decided(nodes, facts, false),
            Node::Either(nodes) => decided(nodes, facts, true),
            Node::Choice(nodes) => {
                let [condition, yes, no] = &**nodes;
                if condition.is_true(facts)? { yes.evaluate(facts) } else { no.evaluate(facts) }
            }
            Node::Compare(comparison, nodes) => {
                let [one, other] = &**nodes;
                let order = ordering(one.evaluate(facts)?, other.evaluate(facts)?)?;
                Ok(Value::Bool(comparison.holds(order)))
            }
            Node::Compute(operator, nodes) => {
                let [one, other] = &**nodes;
                operator.of(one.evaluate(facts)?, other.evaluate(facts)?)
            }
            Node::Within(node, list) => {
                let value = node.evaluate(facts)?;
                let mut found = false;
                for member in list {
                    found |= ordering(value, member.evaluate(facts)?)? == Ordering::Equal;
                }
                Ok(Value::Bool(found))
            }
            Node::Question(part, nodes) => {
                let [text, wanted] = &**nodes;
                match (text.evaluate(facts)?, wanted.evaluate(facts)?) {
                    (Value::Text(text), Value::Text(wanted)) => Ok(Value::Bool(part.of(text, wanted))),
                    _ => Err(Absent::NotFinite),
                }
            }
        }
    }

    pub(crate) fn names<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Node::Bool(_) | Node::Number(_) | Node::Whole(_) | Node::Text(_) => {}
            Node::Name(name) | Node::Has(name) => {
                if !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
            Node::Not(node) | Node::Negate(node) => node.names(names),
            Node::Both(nodes)
            | Node::Either(nodes)
            | Node::Compare(_, nodes)
            | Node::Compute(_, nodes)
            | Node::Question(_, nodes) => nodes.iter().for_each(|node| node.names(names)),
            Node::Choice(nodes) => nodes.iter().for_each(|node| node.names(names)),
            Node::Within(node, list) => {
                node.names(names);
                list.iter().for_each(|node| node.names(names));
            }
        }
    }

    fn is_true(&self, facts: &dyn Facts) -> std::result::Result<bool, Absent> {
        Ok(matches!(self.evaluate(facts)?, Value::Bool(true)))
    }
}

/// `&&` (decided by a false) and `||` (decided by a true): what one side decides needs no other, on either side.
fn decided<'a>(nodes: &[Node; 2], facts: &dyn Facts, decider: bool) -> Result<'a> {
    match (nodes[0].is_true(facts), nodes[1].is_true(facts)) {
        (Ok(one), _) if one == decider => Ok(Value::Bool(decider)),
        (_, Ok(other)) if other == decider => Ok(Value::Bool(decider)),
        (Err(absent), _) | (_, Err(absent)) => Err(absent),
        _ => Ok(Value::Bool(!decider)),
    }
}

fn ordering(one: Value<'_>, other: Value<'_>) -> std::result::Result<Ordering, Absent> {
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => Ok(one.cmp(&other)),
        (Value::Text(one), Value::Text(other)) => Ok(one.cmp(other)),
        (Value::Whole(one), Value::Whole(other)) => Ok(one.cmp(&other)),
        (one, other) => one.number()?.partial_cmp(&other.number()?).ok_or(Absent::NotFinite),
    }
}

fn number<'a>(value: f64) -> Result<'a> {
    if value.is_finite() { Ok(Value::Number(value)) } else { Err(Absent::NotFinite) }
}

impl Value<'_> {
    fn number(self) -> std::result::Result<f64, Absent> {
        match self {
            Value::Number(value) => Ok(value),
            Value::Whole(value) => Ok(value as f64),
            Value::Bool(_) | Value::Text(_) => Err(Absent::NotFinite),
        }
    }
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Operator {
    fn of<'a>(self, one: Value<'_>, other: Value<'_>) -> Result<'a> {
        if let (Value::Whole(one), Value::Whole(other)) = (one, other) {
            let whole = match self {
                Operator::Add => one.checked_add(other),
                Operator::Subtract => one.checked_sub(other),
                Operator::Multiply => one.checked_mul(other),
                Operator::Divide => one.checked_div(other),
                Operator::Remainder => one.checked_rem(other),
            };
            return whole.map(Value::Whole).ok_or(Absent::NotFinite);
        }
        let (one, other) = (one.number()?, other.number()?);
        number(match self {
            Operator::Add => one + other,
            Operator::Subtract => one - other,
            Operator::Multiply => one * other,
            Operator::Divide => one / other,
            Operator::Remainder => return Err(Absent::NotFinite),
        })
    }
}

impl Part {
    fn of(self, text: &str, wanted: &str) -> bool {
        match self {
            Part::Start => text.starts_with(wanted),
            Part::End => text.ends_with(wanted),
            Part::Anywhere => text.contains(wanted),
        }
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Absent::Name(name) => write!(f, "{name} is not known"),
            Absent::NotFinite => f.write_str("a division by zero, or a number that is too large"),
        }
    }
}
