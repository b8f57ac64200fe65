//! Running a program: skipping, or handing values to serde, straight from the bytes.
//!
//! What always holds: no tree is built in between; strings are lent from the payload; whatever the data say, the walk
//! is bounded by the cursor's limits.

use crate::cursor::{Blocks, Cursor, Fault};
use crate::plan::{Node, NodeId, Number, Program, RecordPlan, Step, Target};
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// Passes over one value.
pub(crate) fn skip(program: &Program, node: NodeId, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    match program.node(node) {
        Node::Null => Ok(()),
        Node::Boolean => cursor.boolean().map(drop),
        Node::Number(Number::Int, _) => cursor.int().map(drop),
        Node::Number(Number::Long, _) => cursor.long().map(drop),
        Node::Number(Number::Float, _) => cursor.take(4).map(drop),
        Node::Number(Number::Double, _) => cursor.take(8).map(drop),
        Node::Text | Node::Bytes => cursor.bytes().map(drop),
        Node::Fixed(size) => cursor.fixed(*size).map(drop),
        Node::Enum(symbols) => cursor.tag(symbols.len()).map(drop),
        Node::Named(_, node) => skip(program, *node, cursor),
        Node::Mismatch(why) => Err(Fault::Unresolvable(why.to_string())),
        nested => {
            cursor.descend()?;
            skip_nested(program, nested, cursor)?;
            cursor.ascend();
            Ok(())
        }
    }
}

fn skip_nested(program: &Program, node: &Node, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    match node {
        Node::Array(items) => cursor.skip_blocks(|cursor| skip(program, *items, cursor)),
        Node::Map(values) => cursor.skip_blocks(|cursor| {
            cursor.bytes()?;
            skip(program, *values, cursor)
        }),
        Node::Union(branches) => {
            let tag = cursor.tag(branches.len())?;
            skip(program, branches[tag], cursor)
        }
        Node::Record(plan) => plan.steps.iter().try_for_each(|step| match step {
            Step::Read(_, node) | Step::Skip(node) => skip(program, *node, cursor),
        }),
        _ => Ok(()),
    }
}

/// One value on the wire, as serde sees it.
pub(crate) struct Reader<'p, 'c, 'de> {
    program: &'p Program,
    node: NodeId,
    cursor: &'c mut Cursor<'de>,
}

impl<'p, 'c, 'de> Reader<'p, 'c, 'de> {
    /// The whole record.
    pub(crate) fn new(program: &'p Program, cursor: &'c mut Cursor<'de>) -> Self {
        Self { program, node: program.root(), cursor }
    }

    fn at(self, node: NodeId) -> Self {
        Self { node, ..self }
    }

    fn branch(self, branches: &[NodeId]) -> Result<Self, Fault> {
        let tag = self.cursor.tag(branches.len())?;
        Ok(self.at(branches[tag]))
    }

    fn nested<T>(self, read: impl FnOnce(Reader<'p, '_, 'de>) -> Result<T, Fault>) -> Result<T, Fault> {
        self.cursor.descend()?;
        let value = read(Reader { program: self.program, node: self.node, cursor: self.cursor })?;
        self.cursor.ascend();
        Ok(value)
    }
}

impl<'de> Deserializer<'de> for Reader<'_, '_, 'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let program = self.program;
        match program.node(self.node) {
            Node::Null => visitor.visit_unit(),
            Node::Boolean => visitor.visit_bool(self.cursor.boolean()?),
            Node::Number(number, target) => visit_number(self.cursor, *number, *target, visitor),
            Node::Text => visitor.visit_borrowed_str(self.cursor.text()?),
            Node::Bytes => visitor.visit_string(latin(self.cursor.bytes()?)),
            Node::Fixed(size) => visitor.visit_string(latin(self.cursor.fixed(*size)?)),
            Node::Enum(symbols) => visitor.visit_str(symbol(self.cursor, symbols)?),
            Node::Array(items) => self.nested(|reader| {
                visitor.visit_seq(Items { reader: reader.at(*items), blocks: Blocks::default(), left: 0 })
            }),
            Node::Map(values) => self.nested(|reader| {
                visitor.visit_map(Entries(Items { reader: reader.at(*values), blocks: Blocks::default(), left: 0 }))
            }),
            Node::Record(plan) => {
                self.nested(|reader| visitor.visit_map(Fields { reader, plan, next: 0, value: None }))
            }
            Node::Union(branches) => self.nested(|reader| reader.branch(branches)?.deserialize_any(visitor)),
            Node::Named(name, node) => visitor.visit_map(NameOnly { name: Some(name), reader: self.at(*node) }),
            Node::Mismatch(why) => Err(Fault::Unresolvable(why.to_string())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let program = self.program;
        match program.node(self.node) {
            Node::Null => visitor.visit_none(),
            Node::Union(branches) => self.nested(|reader| reader.branch(branches)?.deserialize_option(visitor)),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let program = self.program;
        match program.node(self.node) {
            Node::Union(branches) => {
                self.nested(|reader| reader.branch(branches)?.deserialize_enum(name, variants, visitor))
            }
            Node::Named(name, node) => visitor.visit_enum(Variant { name, reader: self.at(*node) }),
            Node::Enum(symbols) => {
                let word = symbol(self.cursor, symbols)?;
                visitor.visit_enum(IntoDeserializer::<Fault>::into_deserializer(word))
            }
            Node::Mismatch(why) => Err(Fault::Unresolvable(why.to_string())),
            _ => Err(Fault::Model(format!("{name} is no union here"))),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let program = self.program;
        match program.node(self.node) {
            // By place: comparing names takes longer than reading what they name.
            Node::Record(plan) if plan.is_straight(fields) => {
                self.nested(|reader| visitor.visit_seq(Places { reader, steps: plan.steps.iter() }))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        skip(self.program, self.node, self.cursor)?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier
    }
}

impl Error for Fault {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Fault::Model(message.to_string())
    }
}

fn visit_number<'de, V: Visitor<'de>>(
    cursor: &mut Cursor<'de>,
    number: Number,
    target: Target,
    visitor: V,
) -> Result<V::Value, Fault> {
    let whole = match number {
        Number::Int => i64::from(cursor.int()?),
        Number::Long => cursor.long()?,
        Number::Float => return visitor.visit_f64(f64::from(cursor.float()?)),
        Number::Double => return visitor.visit_f64(cursor.double()?),
    };
    match target {
        Target::Integer => visitor.visit_i64(whole),
        Target::Float => visitor.visit_f64(f64::from(whole as f32)),
        Target::Double => visitor.visit_f64(whole as f64),
    }
}

fn symbol<'p>(cursor: &mut Cursor<'_>, symbols: &'p [Option<Box<str>>]) -> Result<&'p str, Fault> {
    let tag = cursor.tag(symbols.len())?;
    symbols[tag].as_deref().ok_or_else(|| Fault::Unresolvable("the reader lacks a symbol of the writer's".into()))
}

/// Bytes as Avro's JSON shows them: a code point each.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

struct Items<'p, 'c, 'de> {
    reader: Reader<'p, 'c, 'de>,
    blocks: Blocks,
    left: usize,
}

impl Items<'_, '_, '_> {
    fn has_next(&mut self) -> Result<bool, Fault> {
        if self.left == 0 {
            match self.blocks.next_block(self.reader.cursor)? {
                Some(block) => self.left = block.items,
                None => return Ok(false),
            }
        }
        self.left -= 1;
        Ok(true)
    }
}

impl<'de> SeqAccess<'de> for Items<'_, '_, 'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        if !self.has_next()? {
            return Ok(None);
        }
        let Reader { program, node, .. } = self.reader;
        seed.deserialize(Reader { program, node, cursor: self.reader.cursor }).map(Some)
    }
}

struct Entries<'p, 'c, 'de>(Items<'p, 'c, 'de>);

impl<'de> MapAccess<'de> for Entries<'_, '_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        if !self.0.has_next()? {
            return Ok(None);
        }
        let key = self.0.reader.cursor.text()?;
        seed.deserialize(serde::de::value::BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let Reader { program, node, .. } = self.0.reader;
        seed.deserialize(Reader { program, node, cursor: self.0.reader.cursor })
    }
}

/// The values of a record's fields, all of which are read, in their order.
struct Places<'p, 'c, 'de> {
    reader: Reader<'p, 'c, 'de>,
    steps: std::slice::Iter<'p, Step>,
}

impl<'de> SeqAccess<'de> for Places<'_, '_, 'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(Step::Read(_, node)) = self.steps.next() else { return Ok(None) };
        let program = self.reader.program;
        seed.deserialize(Reader { program, node: *node, cursor: self.reader.cursor }).map(Some)
    }
}

struct Fields<'p, 'c, 'de> {
    reader: Reader<'p, 'c, 'de>,
    plan: &'p RecordPlan,
    /// Through the steps, then through the absent fields.
    next: usize,
    value: Option<FieldValue<'p>>,
}

#[derive(Clone, Copy)]
enum FieldValue<'p> {
    OnWire(NodeId),
    Default(&'p serde_json::Value),
}

impl<'p> Fields<'p, '_, '_> {
    fn next_field(&mut self) -> Result<Option<&'p str>, Fault> {
        while let Some(step) = self.plan.steps.get(self.next) {
            self.next += 1;
            match step {
                Step::Skip(node) => skip(self.reader.program, *node, self.reader.cursor)?,
                Step::Read(name, node) => {
                    self.value = Some(FieldValue::OnWire(*node));
                    return Ok(Some(name));
                }
            }
        }
        let absent = self.plan.absent.get(self.next - self.plan.steps.len());
        self.next += usize::from(absent.is_some());
        Ok(absent.map(|(name, default)| {
            self.value = Some(FieldValue::Default(default));
            &**name
        }))
    }
}

impl<'de> MapAccess<'de> for Fields<'_, '_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        match self.next_field()? {
            Some(name) => seed.deserialize(StrDeserializer::new(name)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        match self.value.take() {
            Some(FieldValue::OnWire(node)) => {
                let program = self.reader.program;
                seed.deserialize(Reader { program, node, cursor: self.reader.cursor })
            }
            Some(FieldValue::Default(json)) => {
                seed.deserialize(json.clone()).map_err(|error| Fault::Model(format!("default: {error}")))
            }
            None => Err(Fault::Model("a value was asked for before its name".into())),
        }
    }
}

/// `{"Name": value}`, for readers that do not know the union.
struct NameOnly<'p, 'c, 'de> {
    name: Option<&'p str>,
    reader: Reader<'p, 'c, 'de>,
}

impl<'de> MapAccess<'de> for NameOnly<'_, '_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.name.take().map(|name| seed.deserialize(StrDeserializer::new(name))).transpose()
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let Reader { program, node, .. } = self.reader;
        seed.deserialize(Reader { program, node, cursor: self.reader.cursor })
    }
}

struct Variant<'p, 'c, 'de> {
    name: &'p str,
    reader: Reader<'p, 'c, 'de>,
}

impl<'p, 'c, 'de> EnumAccess<'de> for Variant<'p, 'c, 'de> {
    type Error = Fault;
    type Variant = Reader<'p, 'c, 'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), Fault> {
        Ok((seed.deserialize(StrDeserializer::<Fault>::new(self.name))?, self.reader))
    }
}

impl<'de> VariantAccess<'de> for Reader<'_, '_, 'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        skip(self.program, self.node, self.cursor)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_any(visitor)
    }
}
