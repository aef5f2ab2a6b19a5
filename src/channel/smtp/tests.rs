//! The SMTP channel against a small relay on loopback.

use std::collections::VecDeque;
use std::sync::Arc;

use lettre::message::Mailbox;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::{SmtpSender, mail};
use crate::channel::attempt::Sender as _;
use crate::channel::testing::{Reports, delivery_id, failed_because, job, job_with, pool, smtp_surface, with_row};
use crate::domain::content::Escape;
use crate::domain::effect::DeliveryOutcome;
use crate::domain::journey::program::Channel;
use crate::domain::surface::{InDoubt, Secret, Settings, Surface, Tls};
use crate::runtime::delivery::Standing;

/// What the relay does with a mail.
#[derive(Clone, Copy)]
enum Answer {
    Accept,
    /// This reply to `RCPT`.
    ToRecipient(&'static str),
    /// The same, and goes on to ask for the data of a mail without a recipient.
    ToRecipientAndGoOn(&'static str),
    /// This reply to the data.
    ToData(&'static str),
    /// Closes the connection instead of answering `MAIL`.
    DropAtMail,
    /// Closes the connection once the data has ended.
    DropAfterData,
    /// Never answers the data.
    HangAfterData,
}

/// A relay that answers mails in order by its script; the last answer repeats.
struct RelayServer {
    port: u16,
    /// Data of accepted mails.
    accepted: Arc<Mutex<Vec<String>>>,
    /// Every command line.
    commands: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<u32>>,
}

type Script = Arc<Mutex<VecDeque<Answer>>>;

/// What relays say to hello: each command is answered before the next, or several at once.
const HELLO: &str = "250-relay\r\n250 8BITMIME";
const HELLO_PIPELINED: &str = "250-relay\r\n250-PIPELINING\r\n250 8BITMIME";

impl RelayServer {
    async fn start(script: &[Answer]) -> Self {
        Self::start_with(script, HELLO_PIPELINED).await
    }

    async fn start_with(script: &[Answer], hello: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let port = listener.local_addr().expect("address").port();
        let relay = Self { port, accepted: Arc::default(), commands: Arc::default(), connections: Arc::default() };
        let script: Script = Arc::new(Mutex::new(script.iter().copied().collect()));
        let (accepted, commands) = (Arc::clone(&relay.accepted), Arc::clone(&relay.commands));
        let connections = Arc::clone(&relay.connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *connections.lock() += 1;
                let connection = Connection::new(stream, Arc::clone(&accepted), Arc::clone(&commands));
                tokio::spawn(connection.run(Arc::clone(&script), hello));
            }
        });
        relay
    }

    fn surface(&self, in_doubt: InDoubt) -> Arc<Surface> {
        smtp_surface(self.port, in_doubt)
    }
}

struct Connection {
    input: BufReader<OwnedReadHalf>,
    output: OwnedWriteHalf,
    accepted: Arc<Mutex<Vec<String>>>,
    commands: Arc<Mutex<Vec<String>>>,
}

impl Connection {
    fn new(stream: TcpStream, accepted: Arc<Mutex<Vec<String>>>, commands: Arc<Mutex<Vec<String>>>) -> Self {
        let (input, output) = stream.into_split();
        Self { input: BufReader::new(input), output, accepted, commands }
    }

    async fn run(mut self, script: Script, hello: &'static str) -> Option<()> {
        self.reply("220 relay").await?;
        let mut answer = Answer::Accept;
        loop {
            let line = self.line().await?;
            self.commands.lock().push(line.trim_end().to_owned());
            match line.split([' ', '\r']).next()? {
                "EHLO" => self.reply(hello).await?,
                "MAIL" => {
                    answer = {
                        let mut script = script.lock();
                        if script.len() > 1 { script.pop_front()? } else { script[0] }
                    };
                    if matches!(answer, Answer::DropAtMail) {
                        return None;
                    }
                    self.reply("250 ok").await?;
                }
                "RCPT" => match answer {
                    Answer::ToRecipient(reply) | Answer::ToRecipientAndGoOn(reply) => self.reply(reply).await?,
                    _ => self.reply("250 ok").await?,
                },
                "DATA" if matches!(answer, Answer::ToRecipient(_)) => self.reply("503 no recipient").await?,
                "DATA" => {
                    self.reply("354 go on").await?;
                    let data = self.data().await?;
                    match answer {
                        Answer::ToData(reply) => self.reply(reply).await?,
                        Answer::DropAfterData => return None,
                        Answer::HangAfterData => std::future::pending().await,
                        _ => {
                            self.accepted.lock().push(data);
                            self.reply("250 taken").await?;
                        }
                    }
                }
                "QUIT" => return self.reply("221 bye").await,
                _ => self.reply("250 ok").await?,
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        (self.input.read_line(&mut line).await.ok()? > 0).then_some(line)
    }

    async fn data(&mut self) -> Option<String> {
        let mut data = String::new();
        loop {
            let line = self.line().await?;
            if line == ".\r\n" {
                return Some(data);
            }
            data.push_str(line.strip_prefix('.').unwrap_or(&line));
        }
    }

    async fn reply(&mut self, text: &str) -> Option<()> {
        self.output.write_all(format!("{text}\r\n").as_bytes()).await.ok()
    }
}

const STARTED: &str = "started";

/// One delivery through a relay with `script`: what was reported, and how many mails were accepted.
async fn check(script: &[Answer], in_doubt: InDoubt, expected: &[&str], accepted: usize) {
    for hello in [HELLO, HELLO_PIPELINED] {
        let relay = RelayServer::start_with(script, hello).await;
        let reports = Reports::new();
        let (pool, _stop) = pool::<SmtpSender>(&reports);
        pool.offer(job(1, Channel::Email, Some(&relay.surface(in_doubt)))).expect("room");
        let outcomes: Vec<_> = reports.wait(delivery_id(1), expected.len()).await.iter().map(name).collect();
        assert_eq!(outcomes, expected, "{hello}");
        assert_eq!(relay.accepted.lock().len(), accepted, "{hello}");
    }
}

fn name(outcome: &DeliveryOutcome) -> &'static str {
    match outcome {
        DeliveryOutcome::AttemptStarted => STARTED,
        DeliveryOutcome::AttemptFailed { .. } => "attempt failed",
        DeliveryOutcome::Sent => "sent",
        DeliveryOutcome::Failed { .. } => "failed",
        DeliveryOutcome::InDoubt { .. } => "in doubt",
        DeliveryOutcome::Answered(_) => "answered",
    }
}

#[tokio::test]
async fn an_accepted_mail_is_sent_after_its_attempt_was_journaled() {
    check(&[Answer::Accept], InDoubt::Hold, &[STARTED, "sent"], 1).await;
}

#[tokio::test]
async fn transient_replies_are_retried() {
    for first in [
        Answer::ToRecipient("450 4.2.1 greylisted"),
        Answer::ToRecipientAndGoOn("450 4.2.1 greylisted"),
        Answer::ToData("451 4.3.0 later"),
        Answer::ToData("421 4.3.2 closing"),
        Answer::DropAtMail,
    ] {
        let expected = [STARTED, "attempt failed", STARTED, "sent"];
        check(&[first, Answer::Accept], InDoubt::Hold, &expected, 1).await;
    }
}

#[tokio::test]
async fn permanent_replies_are_final() {
    check(&[Answer::ToRecipient("550 5.1.1 unknown")], InDoubt::Hold, &[STARTED, "failed"], 0).await;
    check(&[Answer::ToRecipientAndGoOn("550 5.1.1 unknown")], InDoubt::Hold, &[STARTED, "failed"], 0).await;
    check(&[Answer::ToData("554 5.6.0 spam")], InDoubt::PreferDuplicate, &[STARTED, "failed"], 0).await;
}

#[tokio::test]
async fn a_mail_without_a_final_reply_follows_the_policy() {
    check(&[Answer::DropAfterData], InDoubt::Hold, &[STARTED, "in doubt"], 0).await;
    check(&[Answer::DropAfterData], InDoubt::PreferLoss, &[STARTED, "failed"], 0).await;
    let again = [STARTED, STARTED, "sent"];
    check(&[Answer::DropAfterData, Answer::Accept], InDoubt::PreferDuplicate, &again, 1).await;
    // The first may have arrived: no failure after it lets an exit take the mail back.
    let answers = [Answer::DropAfterData, Answer::DropAtMail, Answer::Accept];
    check(&answers, InDoubt::PreferDuplicate, &[STARTED, STARTED, STARTED, "sent"], 1).await;
}

#[tokio::test]
async fn a_relay_that_never_replies_leaves_the_mail_in_doubt() {
    let relay = RelayServer::start(&[Answer::HangAfterData]).await;
    let mut surface = (*relay.surface(InDoubt::Hold)).clone();
    surface.attempt_timeout_ms = 100;
    let reports = Reports::new();
    let (pool, _stop) = pool::<SmtpSender>(&reports);
    pool.offer(job(1, Channel::Email, Some(&Arc::new(surface)))).expect("room");
    let outcomes = reports.wait(delivery_id(1), 2).await;
    let reason = "the mail was handed over and its reply never came: no reply in time";
    assert_eq!(outcomes[1], DeliveryOutcome::InDoubt { reason: reason.to_owned() });
}

#[tokio::test]
async fn nothing_is_written_before_the_attempt_is_durable() {
    let relay = RelayServer::start(&[Answer::Accept]).await;
    let reports = Reports::new();
    reports.hold();
    let (pool, _stop) = pool::<SmtpSender>(&reports);
    pool.offer(job(1, Channel::Email, Some(&relay.surface(InDoubt::Hold)))).expect("room");
    assert_eq!(reports.wait(delivery_id(1), 1).await, [DeliveryOutcome::AttemptStarted]);
    assert!(relay.commands.lock().iter().all(|command| command.starts_with("EHLO")), "{:?}", relay.commands.lock());
    reports.release();
    reports.wait(delivery_id(1), 2).await;
    assert_eq!(relay.accepted.lock().len(), 1);
}

#[tokio::test]
async fn a_cancelled_row_is_not_sent() {
    let relay = RelayServer::start(&[Answer::Accept]).await;
    let reports = Reports::new();
    reports.cancel(delivery_id(1));
    let (pool, _stop) = pool::<SmtpSender>(&reports);
    let surface = relay.surface(InDoubt::Hold);
    pool.offer(job(1, Channel::Email, Some(&surface))).expect("room");
    pool.offer(job(2, Channel::Email, Some(&surface))).expect("room");
    reports.wait(delivery_id(2), 2).await;
    assert_eq!(reports.wait(delivery_id(1), 1).await, [DeliveryOutcome::AttemptStarted]);
    assert_eq!(relay.accepted.lock().len(), 1);
}

#[tokio::test]
async fn a_relay_that_is_down_costs_no_journal_entry() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    drop(listener);
    let reports = Reports::new();
    let (pool, _stop) = pool::<SmtpSender>(&reports);
    let mut surface = (*smtp_surface(port, InDoubt::Hold)).clone();
    surface.retry_for_ms = 50;
    pool.offer(job(1, Channel::Email, Some(&Arc::new(surface)))).expect("room");
    let outcomes = reports.wait(delivery_id(1), 1).await;
    assert!(failed_because(&outcomes[0]).contains("can't open a session with the relay"), "{outcomes:?}");
}

/// A row whose attempt was journaled and has no result is not sent unless the policy says so.
#[tokio::test]
async fn resumed_rows_follow_the_policy() {
    for (in_doubt, expected, accepted) in [
        (InDoubt::Hold, vec!["in doubt"], 0),
        (InDoubt::PreferLoss, vec!["failed"], 0),
        (InDoubt::PreferDuplicate, vec![STARTED, "sent"], 1),
    ] {
        let relay = RelayServer::start(&[Answer::Accept]).await;
        let reports = Reports::new();
        let (pool, _stop) = pool::<SmtpSender>(&reports);
        let mut resumed = job(1, Channel::Email, Some(&relay.surface(in_doubt)));
        resumed.standing = Standing::Resumed;
        pool.offer(resumed).expect("room");
        let outcomes: Vec<_> = reports.wait(delivery_id(1), expected.len()).await.iter().map(name).collect();
        assert_eq!(outcomes, expected, "{in_doubt:?}");
        assert_eq!(relay.accepted.lock().len(), accepted, "{in_doubt:?}");
    }
}

#[tokio::test]
async fn connections_are_used_again_after_mails_and_refusals() {
    let relay = RelayServer::start(&[Answer::Accept, Answer::ToRecipient("550 no"), Answer::Accept]).await;
    let reports = Reports::new();
    let (pool, _stop) = pool::<SmtpSender>(&reports);
    for n in 1..=3 {
        pool.offer(job(n, Channel::Email, Some(&relay.surface(InDoubt::Hold)))).expect("room");
        reports.wait(delivery_id(n), 2).await;
    }
    assert_eq!(relay.accepted.lock().len(), 2);
    // Equal settings are the same surface even behind another pointer.
    assert_eq!(*relay.connections.lock(), 1);
}

/// Mails are announced while all connections are taken, and there are never more of these.
#[tokio::test]
async fn a_slow_relay_gets_no_more_connections_than_it_bears() {
    let relay = RelayServer::start(&[Answer::HangAfterData]).await;
    let reports = Reports::new();
    let (pool, _stop) = pool::<SmtpSender>(&reports);
    for n in 1..=40 {
        pool.offer(job(n, Channel::Email, Some(&relay.surface(InDoubt::Hold)))).expect("room");
    }
    for n in 1..=40 {
        assert_eq!(reports.wait(delivery_id(n), 1).await, [DeliveryOutcome::AttemptStarted]);
    }
    let in_data = || relay.commands.lock().iter().filter(|command| *command == "DATA").count();
    while in_data() < super::sender::CONNECTIONS_MAX {
        tokio::task::yield_now().await;
    }
    assert_eq!(*relay.connections.lock() as usize, super::sender::CONNECTIONS_MAX);
}

#[tokio::test]
async fn a_new_surface_is_used_by_retries_of_earlier_jobs() {
    let down = RelayServer::start(&[Answer::ToRecipient("450 never")]).await;
    let up = RelayServer::start(&[Answer::Accept]).await;
    let reports = Reports::new();
    let (pool, _stop) = pool::<SmtpSender>(&reports);
    pool.offer(job(1, Channel::Email, Some(&down.surface(InDoubt::Hold)))).expect("room");
    reports.wait(delivery_id(1), 4).await;
    pool.use_surface(&up.surface(InDoubt::Hold));
    let mut count = 5;
    while reports.wait(delivery_id(1), count).await.last() != Some(&DeliveryOutcome::Sent) {
        count += 1;
    }
    assert_eq!(up.accepted.lock().len(), 1);
}

#[tokio::test]
async fn a_relay_without_starttls_gets_no_mail() {
    let relay = RelayServer::start(&[Answer::Accept]).await;
    let mut surface = (*relay.surface(InDoubt::Hold)).clone();
    surface.retry_for_ms = 20;
    if let Settings::Smtp(smtp) = &mut surface.settings {
        smtp.tls = Tls::Starttls;
        smtp.username = Some("shop".to_owned());
        smtp.password = Some(Secret::Inline("open sesame".to_owned()));
    }
    let reports = Reports::new();
    let (pool, _stop) = pool::<SmtpSender>(&reports);
    pool.offer(job(1, Channel::Email, Some(&Arc::new(surface)))).expect("room");
    let outcomes = reports.wait(delivery_id(1), 1).await;
    assert!(failed_because(&outcomes[0]).contains("STARTTLS"), "{outcomes:?}");
    assert!(relay.commands.lock().iter().all(|command| command.starts_with("EHLO") || command == "QUIT"));
}

#[test]
fn bad_settings_name_what_is_wrong() {
    let error = |change: fn(&mut crate::domain::surface::Smtp)| {
        let mut surface = (*smtp_surface(25, InDoubt::Hold)).clone();
        if let Settings::Smtp(smtp) = &mut surface.settings {
            change(smtp);
        }
        SmtpSender::build(&surface).err().expect("refused")
    };
    assert!(error(|smtp| smtp.from = "nobody".to_owned()).contains("'from'"));
    assert!(error(|smtp| smtp.username = Some("shop".to_owned())).contains("go together"));
    let unset = error(|smtp| {
        smtp.username = Some("shop".to_owned());
        smtp.password = Some(Secret::Env("SOJOURN_TEST_UNSET".to_owned()));
    });
    assert_eq!(unset, "the environment variable SOJOURN_TEST_UNSET is not set or not UTF-8");
}

fn mail_of(subject: &str, body: &str, escape: Escape) -> String {
    let from: Mailbox = "Shop <shop@example.com>".parse().expect("mailbox");
    let built = mail::build(&job_with(1, Channel::Email, None, (subject, body, escape)), &from).expect("mail");
    String::from_utf8(built.bytes).expect("ASCII")
}

#[test]
fn mails_are_the_same_at_every_attempt() {
    let mail = mail_of("Hello", "<p>Hi <b>Ann</b></p>", Escape::Html);
    assert_eq!(mail, mail_of("Hello", "<p>Hi <b>Ann</b></p>", Escape::Html));
    insta::assert_snapshot!(mail.replace("\r\n", "\n"), @r#"
    From: Shop <shop@example.com>
    To: ann@example.com
    Subject: Hello
    Date: Tue, 14 Nov 2023 22:13:20 +0000
    Message-ID: <d-0007-00000000000000000000000000000001-0@example.com>
    X-Sojourn-Delivery: d-0007-00000000000000000000000000000001-0
    MIME-Version: 1.0
    Content-Type: multipart/alternative;
     boundary="=b383a2ad82b9e43933ef189fb9f10f8d="

    --=b383a2ad82b9e43933ef189fb9f10f8d=
    Content-Type: text/plain; charset=utf-8
    Content-Transfer-Encoding: 7bit

    Hi Ann
    --=b383a2ad82b9e43933ef189fb9f10f8d=
    Content-Type: text/html; charset=utf-8
    Content-Transfer-Encoding: 7bit

    <p>Hi <b>Ann</b></p>
    --=b383a2ad82b9e43933ef189fb9f10f8d=--
    "#);
}

#[test]
fn plain_mails_have_one_part() {
    let mail = mail_of("Grüße", "Wörter\nund .\n.\nmehr", Escape::None);
    insta::assert_snapshot!(mail.replace("\r\n", "\n"), @"
    From: Shop <shop@example.com>
    To: ann@example.com
    Subject: =?utf-8?b?R3LDvMOfZQ==?=
    Date: Tue, 14 Nov 2023 22:13:20 +0000
    Message-ID: <d-0007-00000000000000000000000000000001-0@example.com>
    X-Sojourn-Delivery: d-0007-00000000000000000000000000000001-0
    MIME-Version: 1.0
    Content-Type: text/plain; charset=utf-8
    Content-Transfer-Encoding: quoted-printable

    W=C3=B6rter
    und .
    .
    mehr
    ");
}

#[test]
fn no_text_can_add_a_header() {
    for subject in
        ["x\r\nBcc: eve@example.com", "x\nBcc: eve@example.com", "x\rBcc: eve@example.com", "ü\r\nBcc: e@f.g"]
    {
        let mail = mail_of(subject, "body", Escape::None);
        let head = mail.split("\r\n\r\n").next().expect("head");
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    }
}

/// What looks like the end of the data or like commands stays text (SMTP smuggling).
#[tokio::test]
async fn no_text_can_end_the_data() {
    let relay = RelayServer::start(&[Answer::Accept]).await;
    let reports = Reports::new();
    let (pool, _stop) = pool::<SmtpSender>(&reports);
    let body = "a\r\n.\r\nMAIL FROM:<eve@example.com>\r\n\n.\nRSET\n\r.\rRSET\r\n.\n.\r\n..\r\nz";
    let surface = relay.surface(InDoubt::Hold);
    pool.offer(job_with(1, Channel::Email, Some(&surface), ("s", body, Escape::None))).expect("room");
    reports.wait(delivery_id(1), 2).await;
    let accepted = relay.accepted.lock();
    assert_eq!(accepted.len(), 1);
    assert!(accepted[0].trim_end().ends_with("\r\n..\r\nz"), "{:?}", accepted[0]);
    let data = accepted[0].replace("\r\n", "");
    assert!(!data.contains(['\r', '\n']), "only whole line ends leave: {data:?}");
}

#[tokio::test]
async fn recipients_that_are_no_single_address_fail() {
    let relay = RelayServer::start(&[Answer::Accept]).await;
    let reports = Reports::new();
    let (pool, _stop) = pool::<SmtpSender>(&reports);
    let surface = relay.surface(InDoubt::Hold);
    let bad =
        ["", "ann", "ann@", "@example.com", "a@b.c\r\nRCPT TO:<eve@d.e>", "a@b.c, eve@d.e", "Ann <a@b.c>", "a b@c.d"];
    for (n, recipient) in (1_u128..).zip(bad) {
        let job = with_row(&job(n, Channel::Email, Some(&surface)), |row| row.recipient = recipient.into());
        pool.offer(job).expect("room");
        let outcomes = reports.wait(delivery_id(n), 1).await;
        assert_eq!(failed_because(&outcomes[0]), "the recipient's address is not valid", "{recipient:?}");
    }
    assert!(relay.commands.lock().is_empty());
}

#[test]
fn html_becomes_readable_text() {
    let html = "<html><head><title>T</title><style>p { color: red }</style></head><body><!-- <p> -->\
                <h1>Hello&nbsp;Ann</h1>\n<p>5 &lt; 6 &amp;amp; more,<br>next   line</p><ul><li>a<li>b</ul>\
                <script>if (a < b) {}</script>AT&T</body></html>";
    assert_eq!(mail::plain_text(html), "Hello Ann\n\n5 < 6 &amp; more,\nnext line\n\na\nb\nAT&T");
    assert_eq!(mail::plain_text("no tags"), "no tags");
    assert_eq!(mail::plain_text("cut <b"), "cut");
    assert_eq!(mail::plain_text("<script>never closed"), "");
}
