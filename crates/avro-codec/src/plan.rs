//! Avro schema resolution, done once: a writer's schema and ours become a program that reads the writer's bytes.
//!
//! What always holds: a program only says what lies on the wire and what becomes of it; every rule of resolution
//! (field order, unknown fields, defaults, promotions, aliases, unions) is settled here, and what can only be known
//! from the data (the branch of a union, the symbol of an enum) is a [`Node::Mismatch`] or an absent symbol that the
//! reader of the bytes meets.
//!
//! Stricter than Avro on purpose: two different logical types of time do not resolve (microseconds read as
//! milliseconds would be a thousand times too late).

use apache_avro::Schema;
use apache_avro::schema::{
    EnumSchema, InnerDecimalSchema, Name, RecordField, RecordSchema, SchemaKind, UnionSchema, UuidSchema,
};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A compiled pair of schemas.
#[derive(Debug)]
pub(crate) struct Program {
    nodes: Vec<Node>,
    root: NodeId,
}

impl Program {
    /// The program that reads `writer`'s bytes as `reader`.
    pub(crate) fn resolving(writer: &Schema, reader: &Schema) -> Result<Program, String> {
        let mut compiler = Compiler::new(writer, reader);
        let root = compiler.resolve(writer, reader)?;
        Ok(compiler.finish(root))
    }

    /// The program that reads `writer`'s bytes as they are.
    pub(crate) fn plain(writer: &Schema) -> Result<Program, String> {
        let mut compiler = Compiler::new(writer, &Schema::Null);
        let root = compiler.plain(writer)?;
        Ok(compiler.finish(root))
    }

    pub(crate) fn root(&self) -> NodeId {
        self.root
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id.0).unwrap_or(&Node::Null)
    }
}

/// Index of a node in its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(usize);

/// What lies on the wire at one place, and how it is to be understood.
#[derive(Debug)]
pub(crate) enum Node {
    Null,
    Boolean,
    Number(Number, Target),
    Text,
    Bytes,
    Fixed(usize),
    /// The reader's symbol of each of the writer's.
    Enum(Box<[Option<Box<str>>]>),
    Array(NodeId),
    Map(NodeId),
    Record(RecordPlan),
    /// The writer's branches.
    Union(Box<[NodeId]>),
    /// A record inside a union of several: its name tells which it is.
    Named(Box<str>, NodeId),
    /// Nothing of the reader's takes this; an error only where the data come here.
    Mismatch(Box<str>),
}

/// A number's form on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Int,
    Long,
    Float,
    Double,
}

/// What a number is promoted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Integer,
    Float,
    Double,
}

/// The fields of a record in the writer's order, then those that the writer does not have.
#[derive(Debug)]
pub(crate) struct RecordPlan {
    pub(crate) steps: Box<[Step]>,
    pub(crate) absent: Box<[(Box<str>, Json)]>,
    /// Addresses of the lists of names that were compared last: one that is what the writer wrote, and one that is not.
    compared: [AtomicUsize; 2],
}

impl RecordPlan {
    fn new(steps: Vec<Step>, absent: Vec<(Box<str>, Json)>) -> Self {
        Self { steps: steps.into(), absent: absent.into(), compared: Default::default() }
    }

    /// Whether the record holds these fields, all of them, no other and in this order, so that places say what names
    /// would. A struct's names lie at one address for as long as the process lives: they are compared once.
    pub(crate) fn is_straight(&self, fields: &'static [&'static str]) -> bool {
        if fields.is_empty() || fields.len() != self.steps.len() || !self.absent.is_empty() {
            return false;
        }
        let address = fields.as_ptr().addr();
        let [straight, other] = &self.compared;
        if straight.load(Ordering::Relaxed) == address {
            return true;
        }
        if other.load(Ordering::Relaxed) == address {
            return false;
        }
        let is_same = |(step, name): (&Step, &&str)| matches!(step, Step::Read(read, _) if **read == **name);
        let is_straight = self.steps.iter().zip(fields).all(is_same);
        (if is_straight { straight } else { other }).store(address, Ordering::Relaxed);
        is_straight
    }
}

/// One of the writer's fields.
#[derive(Debug)]
pub(crate) enum Step {
    Read(Box<str>, NodeId),
    Skip(NodeId),
}

/// Builds a program; also used, field by field, by the projection of events.
pub(crate) struct Compiler<'s> {
    writer_names: HashMap<&'s Name, &'s Schema>,
    reader_names: HashMap<&'s Name, &'s Schema>,
    nodes: Vec<Node>,
    /// Records already begun, by address of writer and reader: recursion ends here.
    known: HashMap<(usize, usize), NodeId>,
}

impl<'s> Compiler<'s> {
    pub(crate) fn new(writer: &'s Schema, reader: &'s Schema) -> Self {
        let (mut writer_names, mut reader_names) = (HashMap::new(), HashMap::new());
        collect_names(writer, &mut writer_names);
        collect_names(reader, &mut reader_names);
        Self { writer_names, reader_names, nodes: Vec::new(), known: HashMap::new() }
    }

    pub(crate) fn finish(self, root: NodeId) -> Program {
        Program { nodes: self.nodes, root }
    }

    /// The nodes alone, for those who keep the ids of their own entries.
    pub(crate) fn finish_without_root(self) -> Program {
        Program { nodes: self.nodes, root: NodeId(usize::MAX) }
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// What `writer` writes, read as `reader`.
    pub(crate) fn resolve(&mut self, writer: &'s Schema, reader: &'s Schema) -> Result<NodeId, String> {
        let writer = named(writer, &self.writer_names)?;
        let reader = named(reader, &self.reader_names)?;
        match (writer, reader) {
            (Schema::Union(branches), _) => self.resolve_writer_union(branches, reader),
            (_, Schema::Union(branches)) => self.resolve_reader_union(writer, branches),
            (Schema::Record(from), Schema::Record(into)) => {
                let key = (address(writer), address(reader));
                self.resolve_record(key, from, into)
            }
            (Schema::Array(from), Schema::Array(into)) => {
                let items = self.resolve(&from.items, &into.items)?;
                Ok(self.push(Node::Array(items)))
            }
            (Schema::Map(from), Schema::Map(into)) => {
                let values = self.resolve(&from.types, &into.types)?;
                Ok(self.push(Node::Map(values)))
            }
            (Schema::Enum(from), Schema::Enum(into)) => {
                same_name(writer, reader)?;
                Ok(self.push(Node::Enum(symbols(from, into))))
            }
            _ => {
                let node = resolve_leaf(writer, reader)?;
                Ok(self.push(node))
            }
        }
    }

    fn resolve_writer_union(&mut self, branches: &'s UnionSchema, reader: &'s Schema) -> Result<NodeId, String> {
        let mut nodes = Vec::new();
        let mut failures = Vec::new();
        for branch in branches.variants() {
            match self.resolve(branch, reader) {
                Ok(node) => nodes.push(node),
                Err(why) => {
                    nodes.push(self.push(Node::Mismatch(why.as_str().into())));
                    failures.push(why);
                }
            }
        }
        if !nodes.is_empty() && failures.len() == nodes.len() {
            return Err(failures.join("; "));
        }
        Ok(self.push(Node::Union(nodes.into())))
    }

    /// The branch of exactly the writer's type, else the first that resolves.
    fn resolve_reader_union(&mut self, writer: &'s Schema, branches: &'s UnionSchema) -> Result<NodeId, String> {
        let several = branches.variants().iter().filter(|branch| !matches!(branch, Schema::Null)).count() > 1;
        for exact in [true, false] {
            for branch in branches.variants() {
                let branch = named(branch, &self.reader_names)?;
                if exact && !same_type(writer, branch) {
                    continue;
                }
                if let Ok(node) = self.resolve(writer, branch) {
                    return Ok(match branch {
                        Schema::Record(record) if several => self.push(Node::Named(record.name.name().into(), node)),
                        _ => node,
                    });
                }
            }
        }
        Err(format!("{} is in no branch of the union", describe(writer)))
    }

    fn resolve_record(
        &mut self,
        key: (usize, usize),
        writer: &'s RecordSchema,
        reader: &'s RecordSchema,
    ) -> Result<NodeId, String> {
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        check_record_names(writer, reader)?;
        let id = self.push(Node::Null);
        self.known.insert(key, id);
        match self.record_plan(writer, reader) {
            Ok(plan) => {
                self.nodes[id.0] = Node::Record(plan);
                Ok(id)
            }
            Err(why) => {
                // What was begun inside may refer to this record, which does not come to be.
                self.known.retain(|_, known| *known < id);
                Err(format!("{}: {why}", reader.name.name()))
            }
        }
    }

    fn record_plan(&mut self, writer: &'s RecordSchema, reader: &'s RecordSchema) -> Result<RecordPlan, String> {
        let sources: Vec<Option<usize>> = reader.fields.iter().map(|field| source_of(field, writer)).collect();
        let mut steps = Vec::new();
        for (index, from) in writer.fields.iter().enumerate() {
            let into = sources.iter().position(|source| *source == Some(index)).map(|at| &reader.fields[at]);
            steps.push(match into {
                Some(into) => {
                    let node =
                        self.resolve(&from.schema, &into.schema).map_err(|why| format!("{}: {why}", into.name))?;
                    Step::Read(into.name.as_str().into(), node)
                }
                None => Step::Skip(self.plain(&from.schema)?),
            });
        }
        let mut absent = Vec::new();
        for (field, _) in reader.fields.iter().zip(&sources).filter(|(_, source)| source.is_none()) {
            absent.push((field.name.as_str().into(), default_of(field)?.clone()));
        }
        Ok(RecordPlan::new(steps, absent))
    }

    /// What `writer` writes, as it is; for skipping and for showing.
    pub(crate) fn plain(&mut self, writer: &'s Schema) -> Result<NodeId, String> {
        let writer = named(writer, &self.writer_names)?;
        let node = match writer {
            Schema::Record(record) => return self.plain_record(writer, record),
            Schema::Array(array) => Node::Array(self.plain(&array.items)?),
            Schema::Map(map) => Node::Map(self.plain(&map.types)?),
            Schema::Enum(symbols) => {
                Node::Enum(symbols.symbols.iter().map(|word| Some(word.as_str().into())).collect())
            }
            Schema::Union(branches) => {
                let several = branches.variants().iter().filter(|branch| !matches!(branch, Schema::Null)).count() > 1;
                let mut nodes = Vec::new();
                for branch in branches.variants() {
                    let node = self.plain(branch)?;
                    let name = match named(branch, &self.writer_names)? {
                        Schema::Record(record) if several => Some(record.name.name()),
                        _ => None,
                    };
                    nodes.push(name.map_or(node, |name| self.push(Node::Named(name.into(), node))));
                }
                Node::Union(nodes.into())
            }
            leaf => leaf_node(leaf)?,
        };
        Ok(self.push(node))
    }

    fn plain_record(&mut self, schema: &'s Schema, record: &'s RecordSchema) -> Result<NodeId, String> {
        let key = (address(schema), 0);
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let id = self.push(Node::Null);
        self.known.insert(key, id);
        let mut steps = Vec::new();
        for field in &record.fields {
            steps.push(Step::Read(field.name.as_str().into(), self.plain(&field.schema)?));
        }
        self.nodes[id.0] = Node::Record(RecordPlan::new(steps, Vec::new()));
        Ok(id)
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id.0).unwrap_or(&Node::Null)
    }
}

/// Index of the writer's field that a reader's field takes: the same name, else an alias.
pub(crate) fn source_of(field: &RecordField, writer: &RecordSchema) -> Option<usize> {
    let find = |name: &str| writer.fields.iter().position(|from| from.name == name);
    find(&field.name).or_else(|| field.aliases.iter().find_map(|alias| find(alias)))
}

/// What stands for a field that the writer does not have.
pub(crate) fn default_of(field: &RecordField) -> Result<&Json, String> {
    field.default.as_ref().ok_or_else(|| format!("{} is missing and has no default", field.name))
}

/// Record names must agree without their namespaces, or the reader's aliases must say so.
pub(crate) fn check_record_names(writer: &RecordSchema, reader: &RecordSchema) -> Result<(), String> {
    let (from, into) = (writer.name.name(), reader.name.name());
    let aliased = reader.aliases.iter().flatten().any(|alias| alias.name() == from);
    if from == into || aliased { Ok(()) } else { Err(format!("the writer's record is {from}, not {into}")) }
}

fn same_name(writer: &Schema, reader: &Schema) -> Result<(), String> {
    let (from, into) = (writer.name().map(Name::name), reader.name().map(Name::name));
    let aliased = reader.aliases().into_iter().flatten().any(|alias| Some(alias.name()) == from);
    if from == into || aliased { Ok(()) } else { Err(format!("{} is not {}", describe(writer), describe(reader))) }
}

fn same_type(writer: &Schema, reader: &Schema) -> bool {
    SchemaKind::from(writer) == SchemaKind::from(reader) && writer.name() == reader.name()
}

fn symbols(writer: &EnumSchema, reader: &EnumSchema) -> Box<[Option<Box<str>>]> {
    let known = |word| reader.symbols.iter().find(|symbol| *symbol == word).or(reader.default.as_ref());
    writer.symbols.iter().map(|word| known(word).map(|symbol| symbol.as_str().into())).collect()
}

fn resolve_leaf(writer: &Schema, reader: &Schema) -> Result<Node, String> {
    let mismatch = || format!("{} cannot be read as {}", describe(writer), describe(reader));
    if let (Some(from), Some(into)) = (time_type(writer), time_type(reader))
        && from != into
    {
        return Err(mismatch());
    }
    if let (Schema::Decimal(from), Schema::Decimal(into)) = (writer, reader)
        && (from.scale, from.precision) != (into.scale, into.precision)
    {
        return Err(mismatch());
    }
    match (leaf_node(writer)?, leaf_node(reader)?) {
        (Node::Null, Node::Null) => Ok(Node::Null),
        (Node::Boolean, Node::Boolean) => Ok(Node::Boolean),
        (Node::Number(from, _), Node::Number(into, target)) => {
            let widens = matches!(
                (from, into),
                (Number::Int, _)
                    | (Number::Long, Number::Long | Number::Float | Number::Double)
                    | (Number::Float, Number::Float | Number::Double)
                    | (Number::Double, Number::Double)
            );
            if widens { Ok(Node::Number(from, target)) } else { Err(mismatch()) }
        }
        (Node::Text | Node::Bytes, into @ (Node::Text | Node::Bytes)) => Ok(into),
        (Node::Fixed(from), Node::Fixed(into)) if from == into => {
            same_name(writer, reader)?;
            Ok(Node::Fixed(from))
        }
        _ => Err(mismatch()),
    }
}

fn leaf_node(schema: &Schema) -> Result<Node, String> {
    Ok(match schema {
        Schema::Null => Node::Null,
        Schema::Boolean => Node::Boolean,
        Schema::Int | Schema::Date | Schema::TimeMillis => Node::Number(Number::Int, Target::Integer),
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => Node::Number(Number::Long, Target::Integer),
        Schema::Float => Node::Number(Number::Float, Target::Float),
        Schema::Double => Node::Number(Number::Double, Target::Double),
        Schema::String | Schema::Uuid(UuidSchema::String) => Node::Text,
        Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => Node::Bytes,
        Schema::Decimal(decimal) => match &decimal.inner {
            InnerDecimalSchema::Bytes => Node::Bytes,
            InnerDecimalSchema::Fixed(fixed) => Node::Fixed(fixed.size),
        },
        Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
            Node::Fixed(fixed.size)
        }
        other => return Err(format!("{} does not resolve", describe(other))),
    })
}

/// Logical types that say what an integer counts.
fn time_type(schema: &Schema) -> Option<SchemaKind> {
    let kind = SchemaKind::from(schema);
    matches!(
        kind,
        SchemaKind::Date
            | SchemaKind::TimeMillis
            | SchemaKind::TimeMicros
            | SchemaKind::TimestampMillis
            | SchemaKind::TimestampMicros
            | SchemaKind::TimestampNanos
            | SchemaKind::LocalTimestampMillis
            | SchemaKind::LocalTimestampMicros
            | SchemaKind::LocalTimestampNanos
    )
    .then_some(kind)
}

fn describe(schema: &Schema) -> String {
    let kind = format!("{:?}", SchemaKind::from(schema)).to_lowercase();
    schema.name().map_or(kind.clone(), |name| format!("{kind} {}", name.name()))
}

fn address(schema: &Schema) -> usize {
    std::ptr::from_ref(schema) as usize
}

fn named<'s>(schema: &'s Schema, names: &HashMap<&'s Name, &'s Schema>) -> Result<&'s Schema, String> {
    match schema {
        Schema::Ref { name } => names.get(name).copied().ok_or_else(|| format!("{} is not defined", name.name())),
        schema => Ok(schema),
    }
}

fn collect_names<'s>(schema: &'s Schema, names: &mut HashMap<&'s Name, &'s Schema>) {
    if let (Some(name), false) = (schema.name(), matches!(schema, Schema::Ref { .. })) {
        names.insert(name, schema);
    }
    match schema {
        Schema::Record(record) => record.fields.iter().for_each(|field| collect_names(&field.schema, names)),
        Schema::Array(array) => collect_names(&array.items, names),
        Schema::Map(map) => collect_names(&map.types, names),
        Schema::Union(union) => union.variants().iter().for_each(|branch| collect_names(branch, names)),
        _ => {}
    }
}
