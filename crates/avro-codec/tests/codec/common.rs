//! Values of any type of the model, made through its own serde derivation, so that no field is forgotten.

use avro_codec::Codec;
use serde::de::value::{Error, StrDeserializer, U32Deserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use std::sync::OnceLock;

/// Runs `$body` with `$record` and `$type` of every record.
macro_rules! for_each_record {
    (|$record:ident, $type:ident| $body:expr) => {
        for_each_record!(@ $record, $type, $body;
            Impression Click Conversion CampaignSpec EntitySpec StatsReport Correction ContextSignal Ack StateReport
            Decision Halt PolicyVersion Epoch JournalRecord Adjustment DesiredState Alert KpiRow)
    };
    (@ $record:ident, $type:ident, $body:expr; $($name:ident)*) => {
        $({
            #[allow(dead_code)]
            type $type = $name;
            let $record = RecordName::$name;
            $body
        })*
    };
}

/// One codec for all cases: what it compiled is compiled once.
pub fn fixed() -> &'static Codec {
    static CODEC: OnceLock<Codec> = OnceLock::new();
    CODEC.get_or_init(Codec::fixed)
}

/// A value with every nullable field set and two items in every collection.
pub fn full<T: DeserializeOwned>(seed: u64) -> T {
    made(seed, 2)
}

/// A value with every nullable field null and every collection empty.
pub fn bare<T: DeserializeOwned>(seed: u64) -> T {
    made(seed, 0)
}

/// A value with nullable fields, lengths and numbers by chance.
pub fn random<T: DeserializeOwned>(seed: u64) -> T {
    made(seed, 1)
}

fn made<T: DeserializeOwned>(seed: u64, fullness: u64) -> T {
    T::deserialize(&mut Filler { state: seed, fullness }).expect("any type of the model can be made")
}

struct Filler {
    state: u64,
    fullness: u64,
}

impl Filler {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn number(&mut self) -> i64 {
        let shift = self.next() % 64;
        self.next() as i64 >> shift
    }

    fn text(&mut self) -> String {
        let letters = ["x", "ß", "語", "\u{1f600}", "\"", "\n"];
        let length = 1 + self.next() % 6;
        let mut text = format!("{:x}", self.next() & 0xffff);
        (0..length).for_each(|_| text.push_str(letters[(self.next() % 6) as usize]));
        text
    }

    fn count(&mut self) -> u64 {
        if self.fullness == 1 { self.next() % 3 } else { self.fullness }
    }
}

impl<'de> Deserializer<'de> for &mut Filler {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("the model has typed fields only"))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = self.fullness == 2 || self.next() & 1 == 1;
        visitor.visit_bool(value)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = self.number() as i32;
        visitor.visit_i32(value)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = self.number();
        visitor.visit_i64(value)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.count() == 0 { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let left = self.count();
        visitor.visit_seq(Few { filler: self, left })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let left = self.count();
        visitor.visit_map(Few { filler: self, left })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Named { filler: self, fields })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant = (self.next() % variants.len() as u64) as u32;
        visitor.visit_enum(OneOf { filler: self, variant })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes byte_buf unit unit_struct tuple tuple_struct
        identifier ignored_any
    }
}

struct Few<'f> {
    filler: &'f mut Filler,
    left: u64,
}

impl<'de> SeqAccess<'de> for Few<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.filler).map(Some)
    }
}

impl<'de> MapAccess<'de> for Few<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(&mut *self.filler)
    }
}

struct Named<'f> {
    filler: &'f mut Filler,
    fields: &'static [&'static str],
}

impl<'de> MapAccess<'de> for Named<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((first, rest)) = self.fields.split_first() else { return Ok(None) };
        self.fields = rest;
        seed.deserialize(StrDeserializer::<Error>::new(first)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(&mut *self.filler)
    }
}

struct OneOf<'f> {
    filler: &'f mut Filler,
    variant: u32,
}

impl<'de, 'f> EnumAccess<'de> for OneOf<'f> {
    type Error = Error;
    type Variant = &'f mut Filler;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), Error> {
        Ok((seed.deserialize(U32Deserializer::<Error>::new(self.variant))?, self.filler))
    }
}

impl<'de> VariantAccess<'de> for &mut Filler {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("the model has no tuple variants"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("the model has no struct variants"))
    }
}
