//! TLS of calls beyond what the system knows: the certificate that says who calls, for endpoints that ask for one (mutual TLS),
//! and authorities trusted besides the system's. Made once, at the start; no error shows a key.

use std::fmt;

use reqwest::{Certificate, ClientBuilder, Identity};
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Whom calls are made as, and whom they trust. Without anything: as nobody, trusting the system's authorities.
#[derive(Clone, Default)]
pub struct CallTls {
    identity: Option<Identity>,
    authorities: Vec<Certificate>,
}

impl fmt::Debug for CallTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, authorities } = self;
        f.debug_struct("CallTls")
            .field("has_identity", &identity.is_some())
            .field("authorities", &authorities.len())
            .finish()
    }
}

/// What of a certificate and its key can't be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The certificate.
    Certificate(String),
    /// The key.
    Key(String),
}

impl CallTls {
    /// Shows this certificate to whoever asks: PEM, its own first, then those of the authorities between; and its private key.
    pub fn showing(self, certificate: &[u8], key: &[u8]) -> Result<Self, Unusable> {
        let chain = certificates(certificate).map_err(Unusable::Certificate)?;
        let private = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            PemError::NoItemsFound => Unusable::Key("it holds no private key, or an encrypted one".to_owned()),
            error => Unusable::Key(error.to_string()),
        })?;
        let provider = default_provider();
        provider
            .key_provider
            .load_private_key(private.clone_key())
            .map_err(|_| Unusable::Key("its private key can't be read".to_owned()))?;
        CertifiedKey::from_der(chain, private, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => Unusable::Key("it is not the key of the certificate".to_owned()),
            error => Unusable::Certificate(error.to_string()),
        })?;
        // The key that was checked is the last: the file of the certificate may hold it too.
        let both = if certificate == key { key.to_vec() } else { [certificate, b"\n", key].concat() };
        let identity = Identity::from_pem(&both);
        let identity = identity.map_err(|_| Unusable::Certificate("it holds more than certificates".to_owned()))?;
        Ok(Self { identity: Some(identity), ..self })
    }

    /// Trusts these authorities too: PEM, one or more.
    pub fn trusting(self, authorities: &[u8]) -> Result<Self, String> {
        let mut usable = Vec::new();
        for authority in certificates(authorities)? {
            RootCertStore::empty().add(authority.clone()).map_err(|error| error.to_string())?;
            usable.push(Certificate::from_der(&authority).map_err(|error| error.to_string())?);
        }
        Ok(Self { authorities: usable, ..self })
    }

    /// `client`, calling so.
    pub(super) fn apply(&self, client: ClientBuilder) -> ClientBuilder {
        let client = client.tls_certs_merge(self.authorities.iter().cloned());
        match &self.identity {
            Some(identity) => client.identity(identity.clone()),
            None => client,
        }
    }
}

/// At least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if all.is_empty() { Err("it holds no certificate".to_owned()) } else { Ok(all) }
}
