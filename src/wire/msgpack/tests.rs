//! Event properties as MessagePack: what is taken, and what is refused where.

use proptest::prelude::*;

use super::*;
use crate::domain::value::Value;
use crate::wire::value::put_value as write_value;

fn check(bytes: &[u8]) -> Result<(), EventError> {
    let mut reader = Reader::new(bytes);
    check_properties(&mut reader)?;
    assert_eq!(reader.position(), bytes.len());
    Ok(())
}

fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..depth {
        bytes.extend_from_slice(b"\x81\xa1a");
    }
    bytes.push(0xc0);
    bytes
}

/// One map `{"a": VALUE}`.
fn with_value(value: &[u8]) -> Vec<u8> {
    [b"\x81\xa1a", value].concat()
}

#[test]
fn every_refusal_has_its_code() {
    let many: Vec<u8> = {
        let mut bytes = vec![0xde, 0x04, 0x01];
        for i in 0..1025 {
            write_text(&mut bytes, &format!("k{i}"));
            write_nil(&mut bytes);
        }
        bytes
    };
    let long = Value::Map(Map(vec![("n".repeat(129).into(), Value::Null)]));
    let mut long_name = Vec::new();
    write_value(&mut long_name, &long);
    for (bytes, code) in [
        (vec![], "bad_msgpack"),
        (vec![0xc1], "bad_msgpack"),
        (vec![0x90], "bad_properties"),
        (vec![0x81], "bad_msgpack"),
        (vec![0x81, 0x01, 0x01], "bad_property"),
        (vec![0x81, 0xa0, 0x01], "bad_property"),
        (vec![0x81, 0xa1, 0x07, 0x01], "bad_property"),
        (vec![0x81, 0xa1, 0xff, 0x01], "bad_property"),
        (long_name, "bad_property"),
        (b"\x82\xa1a\x01\xa1a\x02".to_vec(), "duplicate_field"),
        (many, "too_many_properties"),
        (with_value(&[0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0]), "bad_number"),
        (with_value(&[0xca, 0x7f, 0xc0, 0, 0]), "bad_number"),
        (with_value(&[0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0]), "bad_number"),
        (with_value(&[0xa1, 0xff]), "bad_text"),
        (with_value(&[0xc4, 1, 0]), "bad_value"),
        (with_value(&[0xd4, 5, 0]), "bad_value"),
        (with_value(&[0xd5, 0xff, 0, 0]), "bad_time"),
        (with_value(&[0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0]), "bad_msgpack"),
        (with_value(&[0xdb, 0xff, 0xff, 0xff, 0xff, b'x']), "bad_msgpack"),
        (with_value(&[0xdf, 0xff, 0xff, 0xff, 0xff]), "too_many_properties"),
        (with_value(&[0xc7, 12, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]), "bad_time"),
        (with_value(&[0xc7, 12, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0, 0, 0, 0, 0, 0]), "bad_time"),
        (nested(limits::DEPTH_MAX + 1), "too_deep"),
        (nested(100_000), "too_deep"),
        (with_value(&[0x91; 100_000]), "too_deep"),
    ] {
        let shown = &bytes[..bytes.len().min(16)];
        assert_eq!(check(&bytes).expect_err("refused").code, code, "{shown:x?}");
        assert_eq!(properties_to_map(&bytes).expect_err("refused").code, code, "{shown:x?}");
    }
    assert_eq!(check(&nested(limits::DEPTH_MAX)), Ok(()));
}

#[test]
fn skipping_needs_no_stack() {
    let mut bytes = vec![0x91; 3_000_000];
    bytes.push(0xc0);
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.skip(), Ok(()));
    assert!(reader.is_at_end());
    let error = Reader::new(&bytes).skip_to_depth(limits::DEPTH_MAX).expect_err("too deep");
    assert_eq!(error.offset, limits::DEPTH_MAX);
    assert_eq!(Reader::new(&bytes[..9]).skip().expect_err("cut").offset, 9);
}

#[test]
fn heads_are_the_shortest() {
    for count in [0usize, 1, 15, 16, 70_000] {
        let mut out = b"before".to_vec();
        let head = open_head(&mut out);
        out.extend(std::iter::repeat_n(0xc0, count));
        close_head(&mut out, head, Container::Array, count);
        let mut expected = b"before".to_vec();
        write_array_head(&mut expected, count);
        expected.extend(std::iter::repeat_n(0xc0, count));
        assert_eq!(out, expected, "{count}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e300f64..1e300).prop_map(Value::Float),
        ".{0,40}".prop_map(|text| Value::Str(text.into())),
        any::<i64>().prop_map(|ms| Value::Time(Millis(ms))),
    ];
    leaf.prop_recursive(4, 64, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::List),
            prop::collection::btree_map("[a-z]{1,12}", inner, 0..20)
                .prop_map(|map| Value::Map(Map(map.into_iter().map(|(k, v)| (k.into(), v)).collect()))),
        ]
    })
}

proptest! {
    #[test]
    fn maps_survive_the_wire(value in value()) {
        let map = Map(vec![("v".into(), value)]);
        let bytes = map_to_properties(&map);
        prop_assert_eq!(check(&bytes), Ok(()));
        prop_assert_eq!(properties_to_map(&bytes), Ok(map));
    }

    #[test]
    fn checked_and_built_agree_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut reader = Reader::new(&bytes);
        let checked = check_properties(&mut reader).map(|()| reader.position());
        let whole = checked.as_ref().map_or(bytes.len(), |end| *end);
        let built = properties_to_map(&bytes[..whole]);
        prop_assert_eq!(checked.map(drop), built.map(drop), "what the door lets in can be read");
    }
}
