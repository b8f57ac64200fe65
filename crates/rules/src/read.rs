//! From text to a checked tree; the only place that knows the parser.

use crate::tree::{Comparison, Node, Operator, Part};
use crate::{Kind, Mistake, NESTING_MAX, NODES_MAX, Names, TEXT_BYTES_MAX, nearest};
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::parser::Parser;
use std::panic::catch_unwind;

/// Reads and checks.
pub(crate) fn read(text: &str, names: &dyn Names) -> Result<(Node, Kind), Mistake> {
    bounded(text)?;
    // The parser is generated code, and a policy's text reaches it in the running service: should it panic, the text is
    // refused and the service goes on.
    let parsed = catch_unwind(|| {
        let parser = Parser::default().max_recursion_depth(RECURSION_MAX).error_recovery_limit(1);
        parser.parse_with_source_info(text).map_err(|errors| {
            let first = errors.errors.into_iter().next();
            first.map(|error| (error.pos, error.msg)).unwrap_or_default()
        })
    });
    let (expression, source) = match parsed {
        Ok(Ok(parsed)) => parsed,
        Ok(Err(((line, column), message))) => {
            let at = |position: isize| usize::try_from(position).unwrap_or(1).max(1);
            let what = message.strip_prefix("Syntax error: ").unwrap_or(&message);
            return Err(Mistake { line: at(line), column: at(column), what: format!("is no expression: {what}") });
        }
        Err(_) => return Err(Mistake { line: 1, column: 1, what: "cannot be read".into() }),
    };
    let mut reader = Reader { names, source: &source, text, nodes: 0 };
    reader.node(&expression)
}

/// Levels of the grammar's rules inside each other.
const RECURSION_MAX: u16 = 64;

/// What the parser is spared: its time and stack grow with length and nesting.
fn bounded(text: &str) -> Result<(), Mistake> {
    let refuse = |what: String| Err(Mistake { line: 1, column: 1, what });
    if text.len() > TEXT_BYTES_MAX {
        return refuse(format!("is {} bytes long, at most {TEXT_BYTES_MAX} are read", text.len()));
    }
    let (mut depth, mut deepest, mut run) = (0_usize, 0, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        run = match byte {
            b'!' | b'-' | b'?' => run + 1,
            b' ' | b'\t' | b'\n' | b'\r' => run,
            _ => 0,
        };
        deepest = deepest.max(depth).max(run);
    }
    let choices = text.bytes().filter(|byte| *byte == b'?').count();
    if deepest.max(choices) > NESTING_MAX {
        return refuse(format!("has more than {NESTING_MAX} brackets, signs or choices inside each other"));
    }
    Ok(())
}

struct Reader<'a> {
    names: &'a dyn Names,
    source: &'a SourceInfo,
    text: &'a str,
    nodes: usize,
}

type Checked = Result<(Node, Kind), Mistake>;

impl Reader<'_> {
    fn node(&mut self, at: &IdedExpr) -> Checked {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(self.mistake(at, format!("has more than {NODES_MAX} operators, names and constants")));
        }
        match &at.expr {
            Expr::Literal(literal) => self.literal(at, literal),
            Expr::Ident(name) => self.name(at, name.clone()),
            Expr::Select(select) if select.test => {
                let Some(path) = path(&select.operand.expr) else { return Err(self.unusable(at, "has() of that")) };
                let name = format!("{path}.{}", select.field);
                self.name(at, name.clone())?;
                Ok((Node::Has(name), Kind::Bool))
            }
            Expr::Select(_) => match path(&at.expr) {
                Some(path) => self.name(at, path),
                None => Err(self.unusable(at, "a field of that")),
            },
            Expr::Call(call) => self.call(at, call),
            Expr::List(_) => Err(self.unusable(at, "a list that nothing is looked up in")),
            Expr::Map(_) => Err(self.unusable(at, "a map")),
            Expr::Struct(_) => Err(self.unusable(at, "a message")),
            Expr::Comprehension(_) => Err(self.unusable(at, "all, exists, map or filter")),
            Expr::Unspecified => Err(self.unusable(at, "an empty expression")),
        }
    }

    fn literal(&self, at: &IdedExpr, literal: &LiteralValue) -> Checked {
        match literal {
            LiteralValue::Boolean(value) => Ok((Node::Bool(*value.inner()), Kind::Bool)),
            LiteralValue::Double(value) if value.inner().is_finite() => {
                Ok((Node::Number(*value.inner()), Kind::Number))
            }
            LiteralValue::Int(value) => Ok((Node::Whole(*value.inner()), Kind::Whole)),
            LiteralValue::String(value) => Ok((Node::Text(value.inner().to_owned()), Kind::Text)),
            LiteralValue::UInt(_) => Err(self.unusable(at, "a number without sign (5u)")),
            LiteralValue::Double(_) => Err(self.unusable(at, "a number of this size")),
            LiteralValue::Bytes(_) => Err(self.unusable(at, "bytes")),
            LiteralValue::Null => Err(self.unusable(at, "null: what is not known is absent, see has()")),
        }
    }

    fn name(&self, at: &IdedExpr, name: String) -> Checked {
        if let Some(kind) = self.names.kind(&name) {
            return Ok((Node::Name(name), kind));
        }
        let all = self.names.all();
        let hint = match nearest(&name, all.iter().map(String::as_str)) {
            Some(known) => format!("; did you mean {known}?"),
            None => String::new(),
        };
        Err(self.mistake_at_name(at, &name, format!("{name} is no name{hint}")))
    }

    fn call(&mut self, at: &IdedExpr, call: &CallExpr) -> Checked {
        use operators::*;
        let name = call.func_name.as_str();
        match (name, &call.target, &call.args[..]) {
            (CONDITIONAL, None, [condition, yes, no]) => {
                let (condition, yes_no) = (self.boolean(condition)?, [self.node(yes)?, self.node(no)?]);
                let [(yes, one), (no, other)] = yes_no;
                let kind = self.common(at, "?:", one, other)?;
                Ok((Node::Choice(Box::new([condition, yes, no])), kind))
            }
            (LOGICAL_AND, None, [one, other]) => {
                Ok((Node::Both(Box::new([self.boolean(one)?, self.boolean(other)?])), Kind::Bool))
            }
            (LOGICAL_OR, None, [one, other]) => {
                Ok((Node::Either(Box::new([self.boolean(one)?, self.boolean(other)?])), Kind::Bool))
            }
            (LOGICAL_NOT, None, [one]) => Ok((Node::Not(Box::new(self.boolean(one)?)), Kind::Bool)),
            (NEGATE, None, [one]) => match self.node(one)? {
                (node, kind @ (Kind::Number | Kind::Whole)) => Ok((Node::Negate(Box::new(node)), kind)),
                (_, kind) => Err(self.mistake(one, format!("- wants a number, this is {}", kind.words()))),
            },
            (IN, None, [one, list]) => self.within(at, one, list),
            (INDEX, None, [map, key]) => self.index(at, map, key),
            ("startsWith", Some(text), [wanted]) => self.question(Part::Start, text, wanted),
            ("endsWith", Some(text), [wanted]) => self.question(Part::End, text, wanted),
            ("contains", Some(text), [wanted]) => self.question(Part::Anywhere, text, wanted),
            (_, None, [one, other]) if comparison(name).is_some() || operator(name).is_some() => {
                self.binary(at, name, one, other)
            }
            ("matches", ..) => Err(self.unusable(at, "regular expressions")),
            _ => {
                let known = ["startsWith", "endsWith", "contains", "has"];
                let hint =
                    nearest(name, known.into_iter()).map_or(String::new(), |known| format!("; did you mean {known}?"));
                Err(self.mistake(at, format!("{name} is no function of rules{hint}")))
            }
        }
    }

    fn binary(&mut self, at: &IdedExpr, name: &str, one: &IdedExpr, other: &IdedExpr) -> Checked {
        let sign = name.trim_matches('_');
        let ((one, kind), (other, other_kind)) = (self.node(one)?, self.node(other)?);
        let kind = self.common(at, sign, kind, other_kind)?;
        let nodes = Box::new([one, other]);
        if let Some(comparison) = comparison(name) {
            if kind == Kind::Bool && !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
                return Err(self.mistake(at, format!("{sign} compares no true or false")));
            }
            return Ok((Node::Compare(comparison, nodes), Kind::Bool));
        }
        match (operator(name), kind) {
            (Some(Operator::Remainder), Kind::Number) => Err(self.mistake(at, "% wants whole numbers".into())),
            (Some(operator), Kind::Number | Kind::Whole) => Ok((Node::Compute(operator, nodes), kind)),
            _ => Err(self.mistake(at, format!("{sign} wants numbers, this is {}", kind.words()))),
        }
    }

    fn within(&mut self, at: &IdedExpr, one: &IdedExpr, list: &IdedExpr) -> Checked {
        let Expr::List(list) = &list.expr else { return Err(self.unusable(at, "in without a list in brackets")) };
        let (one, kind) = self.node(one)?;
        let mut members = Vec::with_capacity(list.elements.len());
        for member in &list.elements {
            let (node, own) = self.node(member)?;
            self.common(member, "in", kind, own)?;
            members.push(node);
        }
        Ok((Node::Within(Box::new(one), members), Kind::Bool))
    }

    /// `labels["brand"]` is `labels.brand`.
    fn index(&mut self, at: &IdedExpr, map: &IdedExpr, key: &IdedExpr) -> Checked {
        match (path(&map.expr), &key.expr) {
            (Some(path), Expr::Literal(LiteralValue::String(key))) => self.name(at, format!("{path}.{}", key.inner())),
            _ => Err(self.unusable(at, "[] without a text in it")),
        }
    }

    fn question(&mut self, part: Part, text: &IdedExpr, wanted: &IdedExpr) -> Checked {
        let nodes = [self.text(text)?, self.text(wanted)?];
        Ok((Node::Question(part, Box::new(nodes)), Kind::Bool))
    }

    fn boolean(&mut self, at: &IdedExpr) -> Result<Node, Mistake> {
        match self.node(at)? {
            (node, Kind::Bool) => Ok(node),
            (_, kind) => Err(self.mistake(at, format!("must be true or false, but is {}", kind.words()))),
        }
    }

    fn text(&mut self, at: &IdedExpr) -> Result<Node, Mistake> {
        match self.node(at)? {
            (node, Kind::Text) => Ok(node),
            (_, kind) => Err(self.mistake(at, format!("must be text, but is {}", kind.words()))),
        }
    }

    fn common(&self, at: &IdedExpr, sign: &str, one: Kind, other: Kind) -> Result<Kind, Mistake> {
        match (one, other) {
            _ if one == other => Ok(one),
            (Kind::Number, Kind::Whole) | (Kind::Whole, Kind::Number) => Ok(Kind::Number),
            _ => Err(self.mistake(at, format!("{sign} of {} and {}", one.words(), other.words()))),
        }
    }

    fn unusable(&self, at: &IdedExpr, what: &str) -> Mistake {
        self.mistake(at, format!("rules do not know {what}"))
    }

    fn mistake(&self, at: &IdedExpr, what: String) -> Mistake {
        let offset = self.source.offset_for(at.id).map_or(0, |(start, _)| start as usize);
        self.mistake_at(offset, what)
    }

    /// A select's own place is its dot: the name's beginning tells more.
    fn mistake_at_name(&self, at: &IdedExpr, name: &str, what: String) -> Mistake {
        match self.text.find(name) {
            Some(offset) => self.mistake_at(offset, what),
            None => self.mistake(at, what),
        }
    }

    fn mistake_at(&self, offset: usize, what: String) -> Mistake {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        Mistake { line, column, what }
    }
}

fn path(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!("{}.{}", path(&select.operand.expr)?, select.field)),
        _ => None,
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Remainder,
        _ => return None,
    })
}
