//! Precedence, kinds of values, unknown names, and the reference page against the settings.

use super::*;

fn pairs(items: &[(&str, &str)]) -> Vec<(String, String)> {
    items.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

/// Loads with a file of this name and text; `Err` is the error's text.
fn check(file: Option<(&str, &str)>, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, String> {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = file.map(|(name, text)| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    });
    load(&Sources { file, environment: pairs(environment), flags: pairs(flags) })
        .map_err(|e| e.to_string().replace(&format!("{}/", directory.path().display()), ""))
}

#[test]
fn defaults_are_valid() {
    let config = check(None, &[("PATH", "/bin")], &[]).expect("valid").config;
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.tcp.listen.to_string(), "127.0.0.1:7070");
    assert_eq!(config.limits.events_per_second, Rate::PerSecond(5000));
    assert_eq!(config.journal.tail_bytes_max, ByteSize(2 << 30));
    assert_eq!(config.archive.retention.as_millis(), 30 * 86_400_000);
    assert_eq!(config.engine.clock, Clock::Wall);
}

#[test]
fn guardrails_are_those_of_the_domain_and_no_wider_than_the_engine() {
    use crate::domain::guardrails::Guardrails;
    let config = check(None, &[], &[]).expect("valid").config;
    assert_eq!(config.guardrails.limits(), Guardrails::DEFAULT);
    let moved = [("guardrails.wait_max", "30d"), ("guardrails.journeys_max", "1000")];
    let config = check(None, &[], &moved).expect("valid").config;
    assert_eq!(config.guardrails.limits().wait_max_ms, 30 * 86_400_000);
    assert_eq!(config.guardrails.limits().journeys_max, 1_000);
    for (key, text, error) in [
        ("guardrails.wait_max", "91d", "guardrails.wait_max must be at most 90d"),
        ("guardrails.journey_nodes_max", "51", "guardrails.journey_nodes_max must be at most 50"),
        ("guardrails.reentry_min", "1m", "guardrails.reentry_min must be 5m to `reentry_max`"),
    ] {
        assert_eq!(check(None, &[], &[(key, text)]).expect_err("too wide"), error);
    }
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let file = Some(("s.toml", "shards = 3\n[http]\nlisten = \"127.0.0.1:1\"\n[limits]\nevents_per_second = 10\n"));
    let loaded = check(
        file,
        &[("SOJOURN_HTTP_LISTEN", "127.0.0.1:2"), ("SOJOURN_LIMITS_EVENTS_PER_SECOND", "20")],
        &[("limits.events_per_second", "unlimited")],
    )
    .expect("valid");
    assert_eq!(loaded.config.engine.shards, ShardCount::Exactly(3));
    assert_eq!(loaded.config.http.listen.port(), 2);
    assert_eq!(loaded.config.limits.events_per_second, Rate::Unlimited);
    let origin = |key: &str| loaded.values.iter().find(|(d, ..)| d.key == key).map(|(.., o)| o.to_string());
    assert_eq!(origin("http.listen").as_deref(), Some("SOJOURN_HTTP_LISTEN"));
    assert_eq!(origin("limits.events_per_second").as_deref(), Some("--limits-events-per-second"));
    assert_eq!(origin("tcp.listen").as_deref(), Some("default"));
}

#[test]
fn yaml_json_and_lists_are_read() {
    let digest = "ab".repeat(32);
    let yaml =
        format!("auth:\n  keys:\n    - shop=sha256:{digest}\n    - crm=sha256:{digest}\nlog: {{ format: json }}\n");
    let config = check(Some(("s.yaml", &yaml)), &[], &[]).expect("valid").config;
    assert_eq!(config.auth.keys.len(), 2);
    assert_eq!(config.auth.keys[1].name, "crm");
    assert_eq!(config.auth.keys[1].digest, [0xab; 32]);
    assert_eq!(config.log.format, LogFormat::Json);
    let config = check(Some(("s.json", r#"{"journal":{"segment_bytes":"8MiB"},"allow_plaintext":true}"#)), &[], &[]);
    let config = config.expect("valid").config;
    assert_eq!(config.journal.segment_bytes, ByteSize(8 << 20));
    assert!(config.engine.allow_plaintext);
}

#[test]
fn mistakes_are_named_with_place_and_remedy() {
    let text = |r: Result<Loaded, String>| r.expect_err("refused");
    assert_eq!(
        text(check(Some(("s.toml", "[http]\nlisten_adress = \"x\"")), &[], &[])),
        "s.toml: \"http.listen_adress\" is no setting"
    );
    assert_eq!(
        text(check(Some(("s.toml", "[http]\nlitsen = \"x\"")), &[], &[])),
        "s.toml: \"http.litsen\" is no setting; did you mean \"http.listen\"?"
    );
    assert_eq!(
        text(check(Some(("s.toml", "events_per_second = 1")), &[], &[])),
        "s.toml: \"events_per_second\" is no setting; did you mean \"limits.events_per_second\"?"
    );
    assert_eq!(
        check(None, &[("SOJOURN_SHARD", "1")], &[]).expect("only a warning").warnings[0],
        "environment: \"SOJOURN_SHARD\" is no setting; did you mean \"SOJOURN_SHARDS\"?"
    );
    assert_eq!(
        text(check(None, &[], &[("shards", "0")])),
        "--shards: shards can't be \"0\"; it takes a whole number above 0, or `cores`"
    );
    assert_eq!(
        text(check(None, &[("SOJOURN_TLS_KEY", "k.pem")], &[])),
        "tls.certificate and tls.key belong together: give both or none"
    );
    assert_eq!(
        text(check(Some(("s.toml", "[calls]\nclient_certificate = \"c.pem\"")), &[], &[])),
        "calls.client_certificate and calls.client_key belong together: give both or none"
    );
    assert!(text(check(Some(("s.toml", "a = [")), &[], &[])).starts_with("configuration file s.toml: "));
    assert!(text(check(Some(("s.ini", "")), &[], &[])).contains("must end in .toml"));
}

#[test]
fn durations_sizes_and_digests_refuse_nonsense() {
    assert_eq!(Span::parse("1d12h").map(Span::as_millis), Some(129_600_000));
    assert_eq!(Span::parse("PT5M").map(Span::as_millis), Some(300_000));
    assert_eq!(Span::parse("-5s"), None);
    assert_eq!(Span::parse("5"), None);
    assert_eq!(ByteSize::parse("64 MiB"), Some(ByteSize(64 << 20)));
    assert_eq!(ByteSize::parse("64MB"), None);
    assert_eq!(ByteSize::parse("99999999999TiB"), None);
    assert_eq!(KeyDigest::parse("a=sha256:abc"), None);
    assert_eq!(KeyDigest::parse(&format!("=sha256:{}", "a".repeat(64))), None);
    assert_eq!(KeyDigest::parse(&format!("a=sha256:{}", "g".repeat(64))), None);
}

#[test]
fn a_digest_is_not_printed() {
    let key = KeyDigest::parse(&format!("shop=sha256:{}", "ab".repeat(32))).expect("valid");
    assert_eq!(format!("{key:?}"), "KeyDigest(shop)");
}

/// The page is written by hand around these tables; set `SOJOURN_WRITE_REFERENCE=1` to bring them up to date.
#[test]
fn the_reference_page_lists_every_setting() {
    const BEGIN: &str = "<!-- settings: begin -->\n";
    const END: &str = "<!-- settings: end -->\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
    let page = std::fs::read_to_string(path).expect("docs/reference.md");
    let begin = page.find(BEGIN).expect("begin mark") + BEGIN.len();
    let end = page.find(END).expect("end mark");
    let tables = reference_tables();
    if std::env::var_os("SOJOURN_WRITE_REFERENCE").is_some() {
        std::fs::write(path, format!("{}{tables}{}", &page[..begin], &page[end..])).expect("written");
        return;
    }
    assert!(
        page[begin..end] == tables,
        "docs/reference.md is out of date: run this test with SOJOURN_WRITE_REFERENCE=1"
    );
}
