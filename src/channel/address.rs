//! Which addresses webhooks and calls may reach. The check is made on the addresses a name resolves to, so that a name whose
//! record changes between check and connect (DNS rebinding) gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// An address that nobody may reach unless `allow_private` is set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address {address} of {host} is not public; set allow_private if it is meant")]
pub(super) struct RefusedAddress {
    pub(super) host: String,
    pub(super) address: IpAddr,
}

/// Whether `address` is one of the public Internet: in none of the special-purpose blocks of the IANA registries
/// (RFC 6890), which hold private, loopback, link-local, shared (CGNAT), benchmark, documentation, multicast and
/// reserved ones. IPv6 forms that carry an IPv4 address are refused whole: no public name needs them.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Blocks of IPv4 that are no public hosts: first address and length of the prefix.
const SPECIAL_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    SPECIAL_V4.iter().all(|(first, prefix)| (address.to_bits() ^ u32::from_be_bytes(*first)) >> (32 - prefix) != 0)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Global unicast is 2000::/3 (RFC 4291); the rest holds loopback, mapped, NAT64, unique local, link-local and
    // multicast. Of it, Teredo and the other protocol blocks (2001::/23), documentation and 6to4 are no hosts.
    let is_global_unicast = a & 0xe000 == 0x2000;
    let is_protocol_block = a == 0x2001 && b < 0x0200;
    let is_documentation = (a == 0x2001 && b == 0x0db8) || (a == 0x3fff && b < 0x1000);
    let is_6to4 = a == 0x2002;
    is_global_unicast && !is_protocol_block && !is_documentation && !is_6to4
}

/// Keeps the public ones of `addresses`; an error if there were some and none is public.
pub(super) fn public_only(host: &str, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, RefusedAddress> {
    let refused = addresses.first().map(|address| RefusedAddress { host: host.to_owned(), address: address.ip() });
    let public: Vec<_> = addresses.into_iter().filter(|address| is_public(address.ip())).collect();
    match refused {
        Some(refused) if public.is_empty() => Err(refused),
        _ => Ok(public),
    }
}

/// How names become addresses; replaced in tests.
pub(super) type Lookup =
    Arc<dyn Fn(String) -> futures_util::future::BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// The operating system's resolver.
pub(super) fn system_lookup() -> Lookup {
    Arc::new(|host| Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) }))
}

/// A resolver that gives public addresses only.
pub(super) struct PublicOnly {
    pub(super) lookup: Lookup,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let found = (self.lookup)(host.clone());
        Box::pin(async move {
            let public = public_only(&host, found.await?)?;
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(addresses: &[&str], expected: bool) {
        for address in addresses {
            assert_eq!(is_public(address.parse().expect("address")), expected, "{address}");
        }
    }

    #[test]
    fn special_addresses_are_not_public() {
        check(
            &[
                "0.0.0.0",
                "10.1.2.3",
                "100.64.0.1",
                "100.127.255.255",
                "127.0.0.1",
                "127.9.9.9",
                "169.254.169.254",
                "172.16.0.1",
                "172.31.255.255",
                "192.0.0.8",
                "192.0.2.1",
                "192.168.1.1",
                "198.18.0.1",
                "198.51.100.7",
                "203.0.113.9",
                "224.0.0.1",
                "239.1.1.1",
                "240.0.0.1",
                "255.255.255.255",
                "192.88.99.1",
            ],
            false,
        );
        check(
            &[
                "::",
                "::1",
                "::ffff:127.0.0.1",
                "::ffff:8.8.8.8",
                "::7f00:1",
                "64:ff9b::7f00:1",
                "100::1",
                "fc00::1",
                "fd12:3456::1",
                "fe80::1",
                "fec0::1",
                "ff02::1",
                "2001::1",
                "2001:db8::1",
                "2002:7f00:1::",
                "3fff::1",
            ],
            false,
        );
    }

    #[test]
    fn ordinary_addresses_are_public() {
        check(&["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1"], true);
        check(&["2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450::1", "3ffe::1"], true);
    }

    #[test]
    fn a_name_with_public_and_private_addresses_reaches_the_public_one() {
        let both = ["10.0.0.1:0", "8.8.8.8:0"].map(|a| a.parse().expect("address")).to_vec();
        assert_eq!(public_only("x", both).expect("public"), ["8.8.8.8:0".parse().expect("address")]);
        let private = vec!["10.0.0.1:0".parse().expect("address")];
        let error = public_only("intern.example", private).expect_err("private");
        assert!(error.to_string().contains("10.0.0.1 of intern.example"), "{error}");
        assert_eq!(public_only("x", Vec::new()), Ok(Vec::new()));
    }
}
