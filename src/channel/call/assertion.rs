//! Who calls, shown by a private key: a JSON Web Token that the token's server trusts in place of a password (RFC 7523 §2.2).
//! Each is used once and lives for minutes. The key never leaves this file, and no error shows it.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::{Signer, SigningKey};
use serde_json::json;

use crate::channel::secret;
use crate::domain::endpoint::{Algorithm, Assertion};

/// How long an assertion is good for: it is used at once, and clocks differ.
const LIFETIME_S: i64 = 300;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Bytes of each half of an ES256 signature (RFC 7518 §3.4).
const HALF_SIZE: usize = 32;

/// Makes assertions.
pub(super) struct Asserter {
    assertion: Assertion,
    key: Arc<dyn SigningKey>,
}

impl Asserter {
    /// Reads the key. The error text is for people and does not show it.
    pub(super) fn read(assertion: &Assertion) -> Result<Self, String> {
        // In a variable of the environment line ends are often written as `\n`.
        let pem = secret::reveal(&assertion.key)?.replace("\\n", "\n");
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| "its private key is no PEM".to_owned())?;
        let key = any_supported_type(&key).map_err(|_| "its private key can't be read".to_owned())?;
        let asserter = Self { assertion: assertion.clone(), key };
        asserter.signer().map(|_| asserter)
    }

    /// What the request for a token says of who asks.
    pub(super) fn fields(&self) -> Result<Vec<(String, String)>, String> {
        let fields = [
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", self.assertion.issuer.clone()),
            ("client_assertion_type", ASSERTION_TYPE.to_owned()),
            ("client_assertion", self.token(now_s(), rand::random())?),
        ];
        Ok(fields.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// The assertion made at `now_s`, seconds since 1970, with the id `id`.
    fn token(&self, now_s: i64, id: u128) -> Result<String, String> {
        let Assertion { issuer, audience, algorithm, key_id, thumbprint, .. } = &self.assertion;
        let mut header = json!({ "alg": algorithm.word(), "typ": "JWT" });
        for (name, value) in [("kid", key_id), ("x5t#S256", thumbprint)] {
            if let Some(value) = value {
                header[name] = json!(value);
            }
        }
        let claims = json!({
            "iss": issuer, "sub": issuer, "aud": audience, "iat": now_s, "nbf": now_s, "exp": now_s + LIFETIME_S,
            "jti": format!("{id:032x}"),
        });
        let said = format!("{}.{}", url_safe(header.to_string().as_bytes()), url_safe(claims.to_string().as_bytes()));
        let signed = self.signer()?.sign(said.as_bytes()).map_err(|_| "its private key can't sign".to_owned())?;
        let signature = match algorithm {
            Algorithm::Rs256 => signed,
            Algorithm::Es256 => halves(&signed).ok_or("its private key signs in another form")?,
        };
        Ok(format!("{said}.{}", url_safe(&signature)))
    }

    fn signer(&self) -> Result<Box<dyn Signer>, String> {
        let (algorithm, scheme) = match self.assertion.algorithm {
            Algorithm::Rs256 => ("RS256", SignatureScheme::RSA_PKCS1_SHA256),
            Algorithm::Es256 => ("ES256", SignatureScheme::ECDSA_NISTP256_SHA256),
        };
        self.key.choose_scheme(&[scheme]).ok_or_else(|| format!("its private key is none for {algorithm}"))
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever reads it compares it with the real time")]
fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Both numbers of an ECDSA signature, each in 32 bytes: JSON Web Tokens do not have them in ASN.1.
fn halves(der: &[u8]) -> Option<Vec<u8>> {
    let (0x30, length, rest) = (*der.first()?, usize::from(*der.get(1)?), der.get(2..)?) else { return None };
    let mut rest = (rest.len() == length).then_some(rest)?;
    let mut joined = Vec::with_capacity(2 * HALF_SIZE);
    for _ in 0..2 {
        let (0x02, length) = (*rest.first()?, usize::from(*rest.get(1)?)) else { return None };
        let number = rest.get(2..2 + length)?;
        rest = &rest[2 + length..];
        let digits = &number[number.iter().take_while(|byte| **byte == 0).count()..];
        joined.resize(joined.len() + HALF_SIZE.checked_sub(digits.len())?, 0);
        joined.extend_from_slice(digits);
    }
    rest.is_empty().then_some(joined)
}

/// RFC 4648 §5, without padding.
fn url_safe(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(group >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use rustls::pki_types::SubjectPublicKeyInfoDer;
    use serde_json::Value;

    use super::*;
    use crate::domain::surface::Secret;

    /// Made for these tests by `openssl genpkey`; nobody trusts them.
    const RSA_KEY: &str = include_str!("testdata/rsa.pem");
    const EC_KEY: &str = include_str!("testdata/ec.pem");

    fn assertion(algorithm: Algorithm, key: &str) -> Assertion {
        Assertion {
            issuer: "shop".to_owned(),
            audience: "https://login.example.com/token".to_owned(),
            algorithm,
            key: Secret::Inline(key.to_owned()),
            key_id: Some("k1".to_owned()),
            thumbprint: None,
        }
    }

    fn decode(text: &str) -> Vec<u8> {
        let digit = |c: u8| match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'-' => 62,
            _ => 63,
        };
        let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
        for c in text.bytes() {
            (bits, count) = (bits << 6 | u32::from(digit(c)), count + 6);
            if count >= 8 {
                count -= 8;
                bytes.push((bits >> count) as u8);
            }
        }
        bytes
    }

    /// The number as ASN.1 has it.
    fn der_of(half: &[u8]) -> Vec<u8> {
        let digits = &half[half.iter().take_while(|byte| **byte == 0).count()..];
        let sign = usize::from(digits.first().is_some_and(|byte| *byte >= 0x80));
        [&[2, (digits.len() + sign) as u8], &vec![0; sign][..], digits].concat()
    }

    fn check(algorithm: Algorithm, key: &str) {
        let asserter = Asserter::read(&assertion(algorithm, key)).expect("a key");
        for id in 0..50 {
            let token = asserter.token(1_700_000_000, id).expect("signs");
            let (header, claims) = verified(&token, algorithm, key);
            assert_eq!(header, json!({ "alg": algorithm.word(), "typ": "JWT", "kid": "k1" }));
            assert_eq!((&claims["iss"], &claims["sub"]), (&json!("shop"), &json!("shop")));
            assert_eq!(claims["aud"], "https://login.example.com/token");
            assert_eq!((&claims["iat"], &claims["exp"]), (&json!(1_700_000_000), &json!(1_700_000_300)));
            assert_eq!(claims["jti"], format!("{id:032x}"));
        }
    }

    /// Head and claims of a token as its receiver reads them, who knows the public half of `key`: signed by the other half.
    pub(in crate::channel::call) fn verified(token: &str, algorithm: Algorithm, key: &str) -> (Value, Value) {
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{token}") };
        let mut signature = decode(signature);
        if algorithm == Algorithm::Es256 {
            assert_eq!(signature.len(), 64);
            let numbers = [der_of(&signature[..32]), der_of(&signature[32..])].concat();
            signature = [&[0x30, numbers.len() as u8], numbers.as_slice()].concat();
        }
        let asserter = Asserter::read(&assertion(algorithm, key)).expect("a key");
        let said = format!("{header}.{claims}");
        assert!(is_signed(&asserter, algorithm, said.as_bytes(), &signature), "{token}");
        let json = |part: &str| serde_json::from_slice(&decode(part)).expect("JSON");
        (json(header), json(claims))
    }

    /// Whether the public half says that `signature` is of `message`.
    fn is_signed(asserter: &Asserter, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let public: SubjectPublicKeyInfoDer<'_> = asserter.key.public_key().expect("a public half");
        // The key is the last bit string of the SubjectPublicKeyInfo: 65 bytes for P-256, 270 for RSA of 2,048 bits.
        let size = if algorithm == Algorithm::Es256 { 65 } else { 270 };
        let public = &public.as_ref()[public.as_ref().len() - size..];
        let scheme = match algorithm {
            Algorithm::Rs256 => SignatureScheme::RSA_PKCS1_SHA256,
            Algorithm::Es256 => SignatureScheme::ECDSA_NISTP256_SHA256,
        };
        let provider = rustls::crypto::ring::default_provider();
        let known = provider.signature_verification_algorithms.mapping.iter();
        let verifiers = known.filter(|(known, _)| *known == scheme).flat_map(|(_, verifiers)| verifiers.iter());
        verifiers.into_iter().any(|verifier| verifier.verify_signature(public, message, signature).is_ok())
    }

    #[test]
    fn assertions_are_signed_as_they_say() {
        check(Algorithm::Rs256, RSA_KEY);
        check(Algorithm::Rs256, &RSA_KEY.replace('\n', "\\n"));
        check(Algorithm::Es256, EC_KEY);
    }

    #[test]
    fn keys_of_another_kind_are_refused_without_being_shown() {
        for (algorithm, key, error) in [
            (Algorithm::Es256, RSA_KEY, "its private key is none for ES256"),
            (Algorithm::Rs256, "secret", "its private key is no PEM"),
        ] {
            let read = Asserter::read(&assertion(algorithm, key));
            assert_eq!(read.err().as_deref(), Some(error));
        }
    }

    #[test]
    fn signatures_have_halves_of_one_size() {
        let der = [0x30, 7, 2, 2, 0, 0x80, 2, 1, 5];
        let halves = halves(&der).expect("two numbers");
        assert_eq!((halves.len(), halves[31], halves[63]), (64, 0x80, 5));
        assert_eq!(super::halves(&der[..8]), None);
        assert_eq!(super::halves(&[0x30, 3, 2, 1, 5]), None);
        assert_eq!(url_safe(b"\xff\xfe\xfd\x01"), "__79AQ");
    }
}
