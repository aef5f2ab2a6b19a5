//! A mail relay that takes everything: as much of RFC 5321 as a client needs to hand a mail over.

use anyhow::ensure;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::{Counter, Sink};

/// The header that names a delivery, in lower case.
const ID_HEADER: &str = "x-sojourn-delivery:";
/// Bytes of a line at most; RFC 5321 knows 1,000.
const LINE_BYTES_MAX: usize = 64 << 10;

pub(super) async fn start() -> anyhow::Result<Sink> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (address, counter) = (listener.local_addr()?, Counter::default());
    let counting = counter.clone();
    let serving = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let counter = counting.clone();
            // A connection that is lost shows as deliveries that do not come.
            tokio::spawn(async move { serve(socket, &counter).await });
        }
    });
    Ok(Sink { address, counter, _serving: AbortOnDropHandle::new(serving) })
}

/// One connection.
async fn serve(socket: TcpStream, counter: &Counter) -> anyhow::Result<()> {
    socket.set_nodelay(true)?;
    let mut socket = BufReader::new(socket);
    socket.write_all(b"220 sink.test ESMTP\r\n").await?;
    let mut line = Vec::new();
    while read_line(&mut socket, &mut line).await? {
        let verb = line.split(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default().to_ascii_uppercase();
        let answer: &[u8] = match verb.as_slice() {
            b"EHLO" => b"250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            b"HELO" | b"MAIL" | b"RCPT" | b"RSET" | b"NOOP" => b"250 ok\r\n",
            b"DATA" => {
                socket.write_all(b"354 go on\r\n").await?;
                let id = read_mail(&mut socket, &mut line).await?;
                if let Some(id) = &id {
                    counter.add(id);
                }
                if id.is_some() { b"250 taken\r\n" } else { b"554 no delivery is named\r\n" }
            }
            b"QUIT" => {
                socket.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => b"502 not known here\r\n",
        };
        socket.write_all(answer).await?;
    }
    Ok(())
}

/// Reads a mail up to its lone dot; gives the id in its head.
async fn read_mail(socket: &mut BufReader<TcpStream>, line: &mut Vec<u8>) -> anyhow::Result<Option<String>> {
    let (mut id, mut is_head) = (None, true);
    loop {
        ensure!(read_line(socket, line).await?, "the mail was cut off");
        match line.as_slice() {
            b"." => return Ok(id),
            b"" => is_head = false,
            text if is_head => id = id.or_else(|| named(&String::from_utf8_lossy(text))),
            _ => {}
        }
    }
}

/// The id, if this line of a head names it.
fn named(line: &str) -> Option<String> {
    let (name, value) = line.split_at_checked(ID_HEADER.len())?;
    name.eq_ignore_ascii_case(ID_HEADER).then(|| value.trim().to_owned())
}

/// Reads a line without its end; false at the end of the connection.
async fn read_line(socket: &mut BufReader<TcpStream>, line: &mut Vec<u8>) -> anyhow::Result<bool> {
    line.clear();
    let read = socket.read_until(b'\n', line).await?;
    ensure!(read <= LINE_BYTES_MAX, "a line of {read} bytes");
    while matches!(line.last(), Some(b'\r' | b'\n')) {
        line.pop();
    }
    Ok(read > 0)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[test]
    fn the_head_names_the_delivery() {
        assert_eq!(named("X-Sojourn-Delivery: d-1"), Some("d-1".to_owned()));
        assert_eq!((named("Subject: d-1"), named("x")), (None, None));
    }

    #[tokio::test]
    async fn a_mail_is_taken_and_counted() {
        let sink = start().await.expect("listens");
        let mut socket = TcpStream::connect(sink.address).await.expect("connects");
        let talk = "EHLO me\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nX-Sojourn-Delivery: d-7\r\n\r\n\
            x-sojourn-delivery: d-8\r\n.\r\nQUIT\r\n";
        socket.write_all(talk.as_bytes()).await.expect("sent");
        let mut answers = String::new();
        socket.read_to_string(&mut answers).await.expect("answered");
        assert!(answers.contains("250-PIPELINING\r\n"), "{answers}");
        let codes: Vec<_> = answers.lines().filter(|line| !line.starts_with("250-")).map(|line| &line[..3]).collect();
        assert_eq!(codes, ["220", "250", "250", "250", "354", "250", "221"]);
        let received = sink.counter.received();
        assert_eq!((received.all, received.distinct), (1, 1));
    }
}
