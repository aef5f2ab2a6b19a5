//! `draw(text)` and `uuid(text)`: chance that can be repeated. A decision must come out the same when the journal is
//! replayed, on every host and after every restart, so nothing here is random: both are hashes of a text that the author
//! names. `draw(meta.id)` is new for each entry and stays for the whole run; `draw(meta.id + ':b')` is independent of it.
//!
//! INVARIANT: the values never change between releases; a test pins some.

use std::borrow::Cow;

use super::code::{Code, Typed, run, run_text};
use super::compile::{Compiler, bridge};
use super::parse::At;
use super::scope::Env;
use super::text::of_text;
use super::types::Type;
use crate::domain::ids::stable_hash;

impl Compiler<'_> {
    pub(super) fn drawn(&mut self, at: At, name: &str, seed: Typed) -> Option<Typed> {
        if !seed.ty.fits(&Type::String) {
            let message = format!("`{name}` takes a text to draw by, not {}", seed.ty);
            return self.mismatch(at, message, bridge(&seed.ty, &Type::String));
        }
        let seed = seed.text();
        let charged = move |env: &Env<'_>, text: &str| env.charge_text(text.len());
        if name == "draw" {
            let code = run(move |env| {
                let Some(text) = seed(env)? else { return Ok(None) };
                charged(env, &text)?;
                Ok(Some(fraction(&text)))
            });
            return Some(Typed::code_of(Type::Number, Code::Number(code)));
        }
        let uuid = of_text(seed, |text| Ok(uuid(text)));
        let code = run_text(move |env| Ok(uuid(env)?.map(Cow::Owned)));
        Some(Typed::code_of(Type::String, Code::Text(code)))
    }
}

/// At least 0 and below 1, evenly spread: the upper 53 bits of a hash, as many as a double holds.
fn fraction(seed: &str) -> f64 {
    const BITS: u32 = 53;
    let hash = stable_hash(&[b"draw", seed.as_bytes()]);
    (hash >> (128 - BITS)) as f64 / (1_u64 << BITS) as f64
}

/// A UUID of version 8 (RFC 9562, section 5.8).
fn uuid(seed: &str) -> String {
    let hash = stable_hash(&[b"uuid", seed.as_bytes()]);
    let hash = hash & !(0xf << 76) | (8 << 76);
    let hash = hash & !(0b11 << 62) | (0b10 << 62);
    let hex = format!("{hash:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::{fraction, uuid};

    #[test]
    fn draws_never_change() {
        assert_eq!(format!("{:.12}", fraction("order-1")), "0.864671214740");
        assert_eq!(uuid("order-1"), "f5f5e468-2800-8a65-8520-efbe2a8cf99a");
    }

    #[test]
    fn draws_are_even() {
        // 10,000 draws in 10 bins: σ = 30, so five of them are 150.
        let mut bins = [0_i32; 10];
        for i in 0..10_000 {
            let drawn = fraction(&format!("e{i}"));
            assert!((0.0..1.0).contains(&drawn), "{drawn}");
            bins[(drawn * 10.0) as usize] += 1;
        }
        assert!(bins.iter().all(|count| (count - 1_000).abs() < 150), "{bins:?}");
    }
}
