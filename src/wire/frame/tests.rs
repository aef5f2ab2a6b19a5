//! Frames as the documentation shows them, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::wire::msgpack::EMPTY_MAP;

/// The frames of `docs/protocol.md`: blocks of hex with comments behind `#`.
fn documented(name: &str) -> Vec<u8> {
    let page = include_str!("../../../docs/protocol.md");
    let start = format!("```hex {name}\n");
    let block = page.split(&start).nth(1).and_then(|rest| rest.split("```").next()).expect("a block of hex");
    let digits = block.lines().flat_map(|line| line.split('#').next().unwrap_or("").split_whitespace());
    digits.map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect()
}

fn event(id: &str, kind: &str, time: Option<i64>, properties: &'static [u8]) -> Event {
    Event {
        id: id.into(),
        kind: kind.into(),
        profile: "crm:4711".into(),
        time: time.map(Millis),
        properties: Bytes::from_static(properties),
    }
}

fn hello() -> Hello {
    Hello {
        sandbox: "default".to_owned(),
        producer: "shop".to_owned(),
        epoch: 3,
        api_key: Some("k1".to_owned()),
        engine_time: None,
        options: BTreeMap::from([("client".to_owned(), "docs".to_owned())]),
    }
}

fn client_frames() -> Vec<(&'static str, ClientFrame)> {
    let events = vec![
        event("e-1", "purchase", Some(1_572_631_153_273), b"\x81\xa5total\xcb\x40\x4d\xf3\x33\x33\x33\x33\x33"),
        event("e-2", "visit", None, EMPTY_MAP),
    ];
    vec![
        ("batch", ClientFrame::Batch(Batch { first_sequence: 41, events, rejected: Vec::new() })),
        ("ping", ClientFrame::Ping(7)),
        ("pong", ClientFrame::Pong(7)),
        ("goodbye", ClientFrame::Goodbye("bye".to_owned())),
    ]
}

fn server_frames() -> Vec<(&'static str, ServerFrame)> {
    let limits = [("batch_events_max", 10_000), ("idle_ms", 60_000)].map(|(name, n)| (name.to_owned(), n));
    let welcome = Welcome {
        server: "sojourn/0.1.0".to_owned(),
        credit: 65_536,
        sequence: 0,
        clock: "wall".to_owned(),
        limits: BTreeMap::from(limits),
    };
    let rejected = Rejection { sequence: 42, code: "bad_profile".to_owned(), message: "no colon".to_owned() };
    let ack = Ack { sequence: 42, rejected: vec![rejected], duplicates: 1, engine_time: None };
    let message = "a newer stream of this producer took over".to_owned();
    vec![
        ("welcome", ServerFrame::Welcome(welcome)),
        ("ack", ServerFrame::Ack(ack)),
        ("credit", ServerFrame::Credit(2)),
        ("error", ServerFrame::Error { code: 13, message }),
        ("ping", ServerFrame::Ping(7)),
        ("pong", ServerFrame::Pong(7)),
        ("goodbye", ServerFrame::Goodbye("bye".to_owned())),
    ]
}

#[test]
fn the_protocol_page_is_what_we_write_and_read() {
    let mut out = Vec::new();
    encode_hello(&mut out, &hello());
    assert_eq!(out, documented("hello"), "hello");
    assert_eq!(decode_hello(&out[LENGTH_BYTES..]), Ok(hello()));
    for (name, frame) in client_frames() {
        out.clear();
        encode_client(&mut out, &frame);
        assert_eq!(out, documented(name), "{name}");
        assert_eq!(decode_client(&Bytes::copy_from_slice(&out[LENGTH_BYTES..])), Ok(frame));
    }
    for (name, frame) in server_frames() {
        out.clear();
        encode_server(&mut out, &frame);
        assert_eq!(out, documented(name), "{name}");
        assert_eq!(decode_server(&out[LENGTH_BYTES..]), Ok(frame));
    }
}

#[test]
fn every_cut_frame_is_an_error() {
    let frames = ["hello", "batch", "ping", "goodbye", "welcome", "ack", "credit", "error"];
    for name in frames {
        let frame = Bytes::from(documented(name)).slice(LENGTH_BYTES..);
        for end in 0..frame.len() {
            assert!(decode_hello(&frame[..end]).is_err(), "{name} cut at {end}");
            assert!(decode_client(&frame.slice(..end)).is_err(), "{name} cut at {end}");
            assert!(decode_server(&frame[..end]).is_err(), "{name} cut at {end}");
        }
    }
}

#[test]
fn secrets_and_long_messages_stay_out() {
    assert!(!format!("{:?}", hello()).contains("k1"));
    let error = EventError::new("bad_profile", "é".repeat(1_000));
    let rejection = Rejection::new(1, &error);
    assert_eq!(rejection.message.len(), limits::REJECTION_MESSAGE_BYTES_MAX);
}

#[test]
fn properties_are_slices_of_the_frame() {
    let frame = Bytes::from(documented("batch")).slice(LENGTH_BYTES..);
    let Ok(ClientFrame::Batch(batch)) = decode_client(&frame) else { panic!("a batch") };
    let properties = batch.events[0].properties.as_ptr_range();
    let all = frame.as_ptr_range();
    assert!(all.start <= properties.start && properties.end <= all.end);
}

proptest! {
    #[test]
    fn batches_read_back(first in 1u64..1 << 40, ids in prop::collection::vec("[a-z0-9-]{1,40}", 1..50)) {
        let events = ids.iter().map(|id| event(id, "x", None, b"\x81\xa1a\x92\xc3\xc0")).collect();
        let frame = ClientFrame::Batch(Batch { first_sequence: first, events, rejected: Vec::new() });
        let mut out = Vec::new();
        encode_client(&mut out, &frame);
        prop_assert_eq!(decode_client(&Bytes::from(out.split_off(LENGTH_BYTES))), Ok(frame));
    }

    #[test]
    fn any_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = (decode_hello(&bytes), decode_server(&bytes), decode_client(&bytes.into()));
    }

    #[test]
    fn damaged_frames_are_an_answer(which in 0usize..8, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let name = ["hello", "batch", "ping", "goodbye", "welcome", "ack", "credit", "error"][which];
        let mut frame = documented(name).split_off(LENGTH_BYTES);
        let at = at.index(frame.len());
        frame[at] = byte;
        let _ = (decode_hello(&frame), decode_server(&frame), decode_client(&frame.into()));
    }
}
