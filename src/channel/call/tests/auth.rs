//! Every way to show who calls, from what an author writes to what is on the wire.

use super::*;
use crate::channel::call::assertion::tests::verified;
use crate::domain::catalog::{Catalog, SourceFile};
use crate::domain::endpoint::Algorithm;
use crate::domain::ids::Millis;

const FORM: &str = "application/x-www-form-urlencoded";
const RSA_KEY: &str = include_str!("../testdata/rsa.pem");
const EC_KEY: &str = include_str!("../testdata/ec.pem");

/// The endpoint at `server` with this `auth`, in which `TOKENS` is the address of the other.
fn written(server: &Server, tokens: &Server, auth: &str) -> Endpoint {
    let auth = auth.replace("TOKENS", &tokens.url());
    let text = format!("kind: action\nname: loyalty\nurl: '{}'\nallow_private: true\nauth: {auth}\n", server.url());
    let files = [SourceFile { name: "a.yaml".to_owned(), text }];
    let (catalog, _) = Catalog::default().apply(&files, Millis(0)).unwrap_or_else(|findings| panic!("{findings:#?}"));
    catalog.actions["loyalty"].endpoint.clone().expect("an endpoint")
}

/// One call to the endpoint.
async fn call_once(caller: &Caller, endpoint: &Endpoint) -> CallAnswer {
    caller.call(&call_job(1, endpoint, 30_000), &Limits::new(), Duration::ZERO, |_, _| Duration::ZERO).await
}

fn shown(seen: &Seen, header: &str) -> Option<String> {
    seen.headers.get(header).map(|value| value.to_str().expect("text").to_owned())
}

/// A good call with this `auth`, and the answer to who asks for a token: that request, if there was one, and the call.
async fn good_call(auth: &str, token: &'static str) -> (Option<Seen>, Seen) {
    let (server, tokens) =
        (Server::start(&[Reply::Json(200, "{}")]).await, Server::start(&[Reply::Json(200, token)]).await);
    let endpoint = written(&server, &tokens, auth);
    let answer = call_once(&build(&endpoint), &endpoint).await;
    assert_eq!(answer.status, CallStatus::Http(200), "{auth}: {answer:?}");
    let (asked, call) = (tokens.seen.lock().pop(), server.seen.lock().pop());
    (asked, call.expect("a call"))
}

#[tokio::test]
async fn every_way_to_show_who_calls() {
    let (asked, call) = good_call("{ type: none }", "").await;
    assert_eq!((asked.is_none(), shown(&call, "authorization")), (true, None));
    let (_, call) = good_call("{ type: basic, username: shop, password: s3cret }", "").await;
    assert_eq!(shown(&call, "authorization").as_deref(), Some("Basic c2hvcDpzM2NyZXQ="));
    let (_, call) = good_call("{ type: api_key, key: k1 }", "").await;
    assert_eq!(shown(&call, "x-api-key").as_deref(), Some("k1"));
    let (_, call) = good_call("{ type: api_key, key: k1, header: X-Shop-Key }", "").await;
    assert_eq!(shown(&call, "x-shop-key").as_deref(), Some("k1"));
    let (asked, call) = good_call("{ type: api_key, key: k 1, query: key }", "").await;
    assert_eq!((asked.is_none(), call.uri.as_str()), (true, "/members/4711/points?page=2&key=k+1"));
}

#[tokio::test]
async fn a_token_by_a_form_goes_along_as_bearer() {
    let auth = "{ type: token, url: TOKENS, headers: { X-Client: shop }, form: { grant_type: client_credentials, secret: a b&c } }";
    let (asked, call) = good_call(auth, r#"{"access_token":"t1","expires_in":3600}"#).await;
    let asked = asked.expect("a request for a token");
    assert_eq!((asked.method.as_str(), asked.uri.as_str()), ("POST", "/members"));
    assert_eq!(asked.body, "grant_type=client_credentials&secret=a+b%26c");
    let (content_type, client) = (shown(&asked, "content-type"), shown(&asked, "x-client"));
    assert_eq!((content_type.as_deref(), client.as_deref()), (Some(FORM), Some("shop")));
    assert_eq!((shown(&asked, "authorization"), shown(&asked, "idempotency-key")), (None, None));
    assert_eq!(shown(&call, "authorization").as_deref(), Some("Bearer t1"));
    assert_eq!((call.uri.as_str(), shown(&call, "x-client")), ("/members/4711/points?page=2", None));
}

#[tokio::test]
async fn a_token_by_json_goes_along_in_a_header() {
    let auth = "{ type: token, url: TOKENS, json: { user: a, secret: 'b\"c' }, token_in: data.token, header: X-Token }";
    let (asked, call) = good_call(auth, r#"{"data":{"token":"t1"}}"#).await;
    let asked = asked.expect("a request for a token");
    let body: serde_json::Value = serde_json::from_str(&asked.body).expect("JSON");
    assert_eq!((asked.method.as_str(), body), ("POST", serde_json::json!({ "user": "a", "secret": "b\"c" })));
    assert_eq!(shown(&asked, "content-type").as_deref(), Some("application/json"));
    assert_eq!((shown(&call, "x-token").as_deref(), shown(&call, "authorization")), (Some("t1"), None));
}

#[tokio::test]
async fn a_token_by_get_is_the_whole_answer_and_goes_along_in_the_query() {
    let auth =
        "{ type: token, url: TOKENS, method: GET, form: { user: a, secret: b&c }, token_in: response, query: token }";
    let (asked, call) = good_call(auth, "t 1\n").await;
    let asked = asked.expect("a request for a token");
    assert_eq!((asked.method.as_str(), asked.uri.as_str()), ("GET", "/members?user=a&secret=b%26c"));
    assert_eq!((asked.body.as_str(), shown(&asked, "content-type")), ("", None));
    assert_eq!(call.uri, "/members/4711/points?page=2&token=t+1");
    assert_eq!(shown(&call, "authorization"), None);
}

/// Four calls at most, and none without a token.
#[tokio::test]
async fn without_a_token_nothing_is_called() {
    for (reply, token_in, reason) in [
        (Reply::Status(500), "access_token", "no token: the server answered 500 Internal Server Error"),
        (Reply::Json(200, r#"{"token":"t1"}"#), "access_token", "no token is where `token_in` says"),
        (Reply::Json(200, r#"{"access_token":7}"#), "access_token", "no token is where `token_in` says"),
        (Reply::Json(200, " \n"), "response", "no token is where `token_in` says"),
    ] {
        let (server, tokens) = (Server::start(&[Reply::Json(200, "{}")]).await, Server::start(&[reply]).await);
        let auth = format!("{{ type: token, url: TOKENS, token_in: {token_in} }}");
        let endpoint = written(&server, &tokens, &auth);
        let answer = call_once(&build(&endpoint), &endpoint).await;
        assert_eq!((answer.status, answer.reason.as_deref()), (CallStatus::InternalError, Some(reason)));
        assert_eq!((tokens.seen.lock().len(), server.seen.lock().len()), (4, 0), "{reply:?}");
    }
}

/// What the calls of one caller show, one after the other; and how often a token was asked for.
async fn tokens_shown(auth: &str, script: &[Reply], pause: Duration) -> (Vec<String>, usize) {
    let replies = ["t1", "t2"].map(|token| Reply::Json(200, token));
    let (server, tokens) = (Server::start(script).await, Server::start(&replies).await);
    let endpoint = written(&server, &tokens, auth);
    let caller = build(&endpoint);
    for reply in script {
        let Reply::Json(code, _) = reply else { panic!("a code: {reply:?}") };
        let answer = call_once(&caller, &endpoint).await;
        assert_eq!(answer.status, CallStatus::Http(*code), "{answer:?}");
        tokio::time::sleep(pause).await;
    }
    let shown: Option<Vec<String>> = server.seen.lock().iter().map(|seen| shown(seen, "authorization")).collect();
    let asked = tokens.seen.lock().len();
    (shown.expect("a token at every call"), asked)
}

/// An hour unless given; a token that was refused is not used again, and a 401 is never called again by itself (spec §3.7).
#[tokio::test]
async fn a_token_is_got_once_and_again_when_it_is_refused() {
    let auth = "{ type: token, url: TOKENS, token_in: response }";
    let script = [200, 200, 401, 200, 200].map(|code| Reply::Json(code, "{}"));
    let (shown, asked) = tokens_shown(auth, &script, Duration::ZERO).await;
    assert_eq!(shown, ["Bearer t1", "Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2"]);
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn a_token_is_got_again_when_its_time_is_over() {
    let auth = "{ type: token, url: TOKENS, token_in: response, cache: 1s }";
    let script = [Reply::Json(200, "{}"), Reply::Json(200, "{}")];
    let (shown, asked) = tokens_shown(auth, &script, Duration::from_secs(1)).await;
    assert_eq!((shown, asked), (vec!["Bearer t1".to_owned(), "Bearer t2".to_owned()], 2));
}

/// RFC 7523 §2.2: who asks for the token is shown by an assertion, signed by the key, and a new one each time.
async fn check_certificate(algorithm: Algorithm, key: &str, more: &str) {
    let token = Reply::Json(200, r#"{"access_token":"t1"}"#);
    let (server, tokens) =
        (Server::start(&[Reply::Status(401), Reply::Json(200, "{}")]).await, Server::start(&[token]).await);
    let written_key = serde_json::Value::from(key);
    let auth = format!(
        "{{ type: certificate, url: TOKENS, issuer: shop, key: {written_key}, form: {{ scope: points }}{more} }}"
    );
    let endpoint = written(&server, &tokens, &auth);
    let caller = build(&endpoint);
    for expected in [401, 200, 200] {
        let answer = call_once(&caller, &endpoint).await;
        assert_eq!(answer.status, CallStatus::Http(expected), "{answer:?}");
    }
    assert_eq!(shown(&server.seen.lock()[0], "authorization").as_deref(), Some("Bearer t1"));
    let asked = tokens.seen.lock();
    assert_eq!(asked.len(), 2, "the second after it was refused");
    let mut ids = Vec::new();
    for request in asked.iter() {
        let pairs: Vec<(&str, &str)> = request.body.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let [grant_type, client_id, assertion_type, (name, assertion), scope] = pairs[..] else { panic!("{pairs:?}") };
        assert_eq!(grant_type, ("grant_type", "client_credentials"));
        assert_eq!((client_id, scope), (("client_id", "shop"), ("scope", "points")));
        let jwt_bearer = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        assert_eq!((assertion_type, name), (("client_assertion_type", jwt_bearer), "client_assertion"));
        let (header, claims) = verified(assertion, algorithm, key);
        assert_eq!(header["alg"], algorithm.word());
        assert_eq!((&claims["iss"], &claims["sub"]), (&"shop".into(), &"shop".into()));
        assert_eq!(claims["aud"], tokens.url(), "the address of the token unless given");
        let time = |name: &str| claims[name].as_i64().expect("seconds");
        assert_eq!((time("exp") - time("iat"), time("nbf")), (300, time("iat")));
        ids.push(claims["jti"].clone());
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_certificate_shows_who_calls() {
    check_certificate(Algorithm::Rs256, RSA_KEY, "").await;
    check_certificate(Algorithm::Es256, EC_KEY, ", algorithm: ES256").await;
}
