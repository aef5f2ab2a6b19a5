//! The stored catalog: it reads back, stays readable, and damage is an error.

use super::*;

const EVERYTHING: &str = "
kind: event
name: cart_add
schema: { total: number, items: [string], cart: { id: string, at: timestamp }, n: integer, gift: boolean, currency: string }
---
kind: attribute
name: address.city
type: string
---
kind: attribute
name: address.zip
type: string
---
kind: surface
name: mail
channel: email
smtp: { host: 127.0.0.1, port: 1025, from: shop@example.com, username: u, password_env: SMTP_PASSWORD }
in_doubt: prefer-loss
timeout: 5s
---
kind: surface
name: hook
channel: webhook
webhook: { url: 'https://example.com/hook', secret: whsec_AAAA, allow_private: true }
---
kind: message
name: reminder
channel: email
surface: mail
subject: 'Your cart'
body: '<p>Hello</p>'
---
kind: message
name: notify
channel: webhook
surface: hook
body: '{}'
---
kind: event
name: big_cart
of: cart_add
when: event.total > 99.0
---
kind: fragment
name: pause_then_go
start: pause
nodes:
  pause: { wait: 1h, then: out }
  out: { end: true }
---
kind: action
name: ask
url: 'https://api.example.com/v1'
auth: { type: token, url: 'https://login.example.com', form: { user: a }, form_env: { secret: S }, token_in: data.t, header: X-T }
method: PUT
parameters: { city: string, n: integer }
path: '/{city}'
query: { q: '{n}' }
headers: { X-Shop: 'a' }
body: { n: with.n, of: [with.city, null] }
response: { level: string }
error_response: { code: string }
---
kind: data_source
name: sky
url: 'https://sky.example.com/now'
parameters: { city: string }
query: { city: '{city}' }
response: { level: string }
cache: 1m
rating: { max_calls: 3, per: 1s }
---
kind: dataset
name: products
key: sku
schema: { sku: string, price: number, n: integer, since: timestamp, left: boolean }
records: [ { sku: a, price: 1.5, n: 7, since: '2026-01-05T09:00:00Z', left: true }, { sku: b } ]
---
kind: capping
name: few
url: 'https://api.example.com/*'
methods: [PUT]
rating: { max_calls: 7, per: 1m }
---
kind: throttling
name: calm
url: 'https://api.example.com/v1/*'
methods: [GET, PUT]
max_throughput: 300
---
kind: rule_set
name: calm
entries: { max: 3, per: week }
concurrent: 2
---
kind: journey
name: everything
rule_set: calm
priority: 70
entry: { event: big_cart, when: event.total > 5.0, supplemental_id: event.currency }
reentry: { after: 1d }
exit: [ { event: cart_add, when: last.gift }, { when: event.gift } ]
timeout: 14d
call_timeout: 5s
timezone: Europe/Paris
local_time: profile
start_date: 2026-01-01
end_date: 2036-01-01T12:00:00Z
start: choose
migration: { default: { move: pause }, nodes: { hear: keep, until: exit, pause: recompute } }
nodes:
  choose:
    condition:
      - { when: \"profile.address.city == 'Paris'\", then: mail_it }
      - { time: { days: [mon, fri], from: '21:00', to: '09:00' }, then: fork }
      - { date: { from: 2026-12-01, to: 2026-12-24T18:00 }, then: monday }
    otherwise: until
    on_error: done
  fork: { split: [ { percent: 33.3, then: tell }, { percent: 66.7, then: until } ] }
  monday: { wait: { time: '09:00', days: [mon] }, then: note }
  note: { update_profile: { address.city: event.currency, address.zip: null }, then: again }
  again: { jump: more, with: { total: event.total, gift: null }, then: done, on_error: done }
  mail_it: { message: reminder, then: hear }
  again_mail: { message: reminder, then: race }
  hear: { event: cart_add, when: last.n > event.n, within: 2d, then: done, on_timeout: tell }
  until: { wait: { until: event.cart.at }, then: again_mail }
  race: { first_of: [ { event: message.opened, of: again_mail, since: entry, then: done }, { wait: 2d, then: pause } ] }
  pause: { wait: 1h, then: tell }
  tell: { message: notify, then: call }
  call: { action: ask, with: { city: profile.address.city, n: null }, then: called, on_error: done }
  called: { condition: [ { when: \"action.ask.level == 'a'\", then: pause }, { when: \"source.sky.level == 'b'\", then: sky } ] }
  sky: { data: sky, with: { city: profile.address.city }, then: known }
  known: { lookup: products, keys: event.items, fields: [price, since], then: cheap, on_error: done }
  cheap: { condition: [ { when: 'lookup.known.entities.exists(e, e.price < 5.0)', then: pause } ] }
  done: { end: true }
---
kind: journey
name: more
entry: { event: big_cart }
start: pause
nodes:
  pause: { wait: 1h, then: done }
  done: { end: true }
";

#[test]
fn the_record_reads_back() {
    let (first, _) = apply(&Catalog::default(), EVERYTHING);
    let (second, _) = apply(&first, &EVERYTHING.replace("pause: { wait: 1h", "pause: { wait: 2h"));
    let closed = second.stop("everything", Some(1), Millis(9)).expect("stops");
    let bytes = closed.to_record();
    let read = Catalog::from_record(&bytes).expect("reads");
    assert_eq!(read.to_record(), bytes);
    assert_eq!(statuses(&read), statuses(&closed));
    assert_eq!((&read.entries, &read.listening), (&closed.entries, &closed.listening));
    assert_eq!(format!("{:?}", read.versions), format!("{:?}", closed.versions));
    assert_eq!(apply(&read, &EVERYTHING.replace("pause: { wait: 1h", "pause: { wait: 2h")).0.version, closed.version);
}

/// The bytes of format 2. A failure means that old data directories can't be read: give a new format a new number.

#[test]
fn the_record_of_format_2_stays() {
    let (catalog, _) = apply(&Catalog::default(), EVERYTHING);
    let golden = include_bytes!("../golden/catalog-2.bin");
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        std::fs::write("src/domain/catalog/golden/catalog-2.bin", catalog.to_record()).expect("written");
    }
    assert!(catalog.to_record() == golden, "the encoding changed");
    assert_eq!(Catalog::from_record(golden).expect("reads").to_record(), golden);
}

#[test]
fn damaged_records_are_refused() {
    let (catalog, _) = apply(&Catalog::default(), EVERYTHING);
    let bytes = catalog.to_record();
    assert!(matches!(Catalog::from_record(b""), Err(CatalogError::Damaged(_))));
    assert!(matches!(Catalog::from_record(b"XXXX\x02\0"), Err(CatalogError::Damaged(_))));
    assert_eq!(Catalog::from_record(b"SJCT\x03\0").err(), Some(CatalogError::Format { found: 3, supported: 2 }));
    for cut in (0..bytes.len()).step_by(7) {
        assert!(Catalog::from_record(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    assert!(Catalog::from_record(&[&bytes[..], &[0]].concat()).is_err());
    // Nested deeper than any file could be.
    let deep = [&bytes[..6], &vec![0x91u8; 100_000][..]].concat();
    assert!(Catalog::from_record(&deep).is_err());
}

#[test]
fn secrets_are_not_printed() {
    let (catalog, _) = apply(&Catalog::default(), EVERYTHING);
    assert!(!format!("{catalog:?}").contains("whsec_AAAA"));
}

#[test]
fn flipped_bits_never_panic() {
    let golden = include_bytes!("../golden/catalog-2.bin");
    for index in 0..golden.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = golden.to_vec();
            bytes[index] ^= flip;
            let _ = Catalog::from_record(&bytes);
        }
    }
}
