//! `kind: surface`: settings of a channel.

use smol_str::SmolStr;

use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::program::Channel;
use crate::domain::journey::source::message::read_channel;
use crate::domain::journey::source::reader::{MapReader, choice, duration, full_text, name, port, truth};
use crate::domain::surface::{InDoubt, Network, Secret, Settings, Smtp, Surface, Tls, Webhook};

/// One attempt at a webhook: 10 s unless given, the patience of most senders.
const WEBHOOK_TIMEOUT_MS: i64 = 10_000;
/// One attempt at a mail: 2 min unless given. Relays scan a mail before they reply to its data (RFC 5321 §4.5.3.2.6
/// would have us wait for 10 min), and each reply not waited for is a delivery in doubt.
const SMTP_TIMEOUT_MS: i64 = 120_000;
/// Bounds of one attempt.
const ATTEMPT_TIMEOUT_RANGE_MS: (i64, i64) = (100, 5 * 60_000);
/// Attempts go on for a day unless given.
const RETRY_FOR_MS: i64 = 86_400_000;
/// Bounds of the time attempts go on.
const RETRY_FOR_RANGE_MS: (i64, i64) = (0, 7 * 86_400_000);

const IN_DOUBT: [(&str, InDoubt); 3] =
    [("hold", InDoubt::Hold), ("prefer-loss", InDoubt::PreferLoss), ("prefer-duplicate", InDoubt::PreferDuplicate)];
const TLS: [(&str, Tls); 3] = [("none", Tls::None), ("starttls", Tls::Starttls), ("implicit", Tls::Implicit)];

/// Reads a surface; `None` if any of it can't be used.
pub fn read(surface_name: &At<SmolStr>, mut map: MapReader<'_>, findings: &mut Findings<'_>) -> Option<Surface> {
    let before = findings.count();
    name(surface_name, "a surface", findings);
    let channel = map.required("channel", findings).and_then(|tree| Some((read_channel(tree, findings)?, tree.place)));
    let settings = match channel {
        Some((Channel::Email, _)) => map
            .required("smtp", findings)
            .and_then(|tree| Some(Settings::Smtp(read_smtp(MapReader::open(tree, "`smtp`", findings)?, findings)?))),
        Some((Channel::Webhook, _)) => map.required("webhook", findings).and_then(|tree| {
            Some(Settings::Webhook(read_webhook(MapReader::open(tree, "`webhook`", findings)?, findings)?))
        }),
        Some((Channel::Log | Channel::Call, place)) => {
            let message = format!("{} is of channel log, which has no surface", map.what);
            let suggestion = "remove it: a message with `channel: log` needs none".to_owned();
            findings.error_with(place, "unexpected_surface", message, suggestion);
            None
        }
        // Which settings belong here is unknown: none of them is to blame.
        None => {
            map.optional("smtp");
            map.optional("webhook");
            None
        }
    };
    let in_doubt = map.optional("in_doubt").and_then(|tree| choice(tree, "`in_doubt`", &IN_DOUBT, findings));
    let timeout =
        map.optional("timeout").and_then(|tree| duration(tree, "`timeout`", ATTEMPT_TIMEOUT_RANGE_MS, findings));
    let retry_for =
        map.optional("retry_for").and_then(|tree| duration(tree, "`retry_for`", RETRY_FOR_RANGE_MS, findings));
    map.finish(findings);
    if findings.any_error_since(before) {
        return None;
    }
    let (in_doubt_default, timeout_default) = match settings.as_ref()? {
        Settings::Smtp(_) => (InDoubt::Hold, SMTP_TIMEOUT_MS),
        Settings::Webhook(_) => (InDoubt::PreferDuplicate, WEBHOOK_TIMEOUT_MS),
    };
    Some(Surface {
        name: surface_name.value.clone(),
        settings: settings?,
        in_doubt: in_doubt.unwrap_or(in_doubt_default),
        attempt_timeout_ms: timeout.map_or(timeout_default, |at| at.value),
        retry_for_ms: retry_for.map_or(RETRY_FOR_MS, |at| at.value),
    })
}

fn read_smtp(mut map: MapReader<'_>, findings: &mut Findings<'_>) -> Option<Smtp> {
    let host = map.required("host", findings).and_then(|tree| full_text(tree, "`host`", findings));
    let port = map.required("port", findings).and_then(|tree| port(tree, "`port`", findings));
    let from = map.required("from", findings).and_then(|tree| full_text(tree, "`from`", findings));
    let tls = map.optional("tls").and_then(|tree| choice(tree, "`tls`", &TLS, findings));
    let username = map.optional("username").and_then(|tree| full_text(tree, "`username`", findings));
    let password = secret(&mut map, "password", "password_env", findings);
    if let Some(from) = from.as_ref().filter(|from| !is_address(&from.value)) {
        let message = format!("`from` is no mail address: `{}`", from.value);
        findings.error_with(
            from.place,
            "bad_address",
            message,
            "write `shop@example.com` or `Shop <shop@example.com>`".to_owned(),
        );
    }
    if username.is_some() != password.is_some() {
        let message = "`username` and a password go together".to_owned();
        findings.error_with(
            map.place,
            "missing_key",
            message,
            "add `password_env: NAME`, or remove the login".to_owned(),
        );
    }
    map.finish(findings);
    let (host, port) = (host?.value.to_string(), port?);
    let tls = tls.unwrap_or_else(|| default_tls(&host, port));
    Some(Smtp {
        host,
        port,
        from: from?.value.to_string(),
        tls,
        username: username.map(|u| u.value.to_string()),
        password,
    })
}

/// Mail in the clear only where it does not leave the machine.
fn default_tls(host: &str, port: u16) -> Tls {
    match (host, port) {
        ("localhost" | "127.0.0.1" | "::1", _) => Tls::None,
        (_, 465) => Tls::Implicit,
        _ => Tls::Starttls,
    }
}

fn is_address(from: &str) -> bool {
    let address = match from.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => from,
    };
    let fine = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>' | ',');
    !from.chars().any(char::is_control)
        && address.chars().all(fine)
        && address.rsplit_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
}

fn read_webhook(mut map: MapReader<'_>, findings: &mut Findings<'_>) -> Option<Webhook> {
    let url = map.required("url", findings).and_then(|tree| full_text(tree, "`url`", findings));
    let secret = secret(&mut map, "secret", "secret_env", findings);
    let allow_private = map.optional("allow_private").and_then(|tree| truth(tree, "`allow_private`", findings));
    let is_url = |text: &str| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !text.contains(char::is_whitespace))
    };
    if let Some(url) = url.as_ref().filter(|url| !is_url(&url.value)) {
        let message = "`url` is no web address".to_owned();
        findings.error_with(url.place, "bad_address", message, "write `https://example.com/hook`".to_owned());
    }
    map.finish(findings);
    let network = if allow_private == Some(true) { Network::AllowPrivate } else { Network::Public };
    Some(Webhook { url: url?.value.to_string(), secret, network })
}

/// A secret given in place or by the name of an environment variable; not both.
pub(super) fn secret(
    map: &mut MapReader<'_>,
    inline: &'static str,
    env: &'static str,
    findings: &mut Findings<'_>,
) -> Option<Secret> {
    let given = map.optional(inline);
    let named = map.optional(env);
    if let (Some(_), Some(named)) = (given, named) {
        let message = format!("`{inline}` and `{env}` are both given");
        findings.error_with(
            named.place,
            "duplicate_key",
            message,
            format!("keep `{env}`: it keeps the secret out of the file"),
        );
    }
    if let Some(tree) = named {
        return Some(Secret::Env(full_text(tree, env, findings)?.value.to_string()));
    }
    Some(Secret::Inline(full_text(given?, inline, findings)?.value.to_string()))
}
