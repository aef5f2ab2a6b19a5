"""A mail server (aiosmtpd) with STARTTLS and logins.

Usage: mail_sink.py CA_FILE. Writes the certificate of its authority to CA_FILE and prints {"port": n}, then one JSON line for every
mail it accepted. The only login is `shop` with the password `open sesame`.

What it does depends on the recipient's local part: `reject` is refused for good, `later…` is refused once and then
accepted, `vanish` loses its connection after the data and before the reply. Everything else is accepted.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

import trustme
from aiosmtpd.smtp import SMTP, AuthResult


class Sink:
    def __init__(self):
        self.seen = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("reject@"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):
        recipient = envelope.rcpt_tos[0]
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        if recipient.startswith("later") and recipient not in self.seen:
            self.seen.add(recipient)
            return "451 4.7.1 come back later"
        if recipient.startswith("vanish"):
            server.transport.abort()
            return "250 never arrives"
        parts = {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "encrypted": session.ssl is not None,
            "user": session.auth_data,
            "subject": str(message["subject"]),
            "message_id": message["message-id"],
            "date": message["date"],
            "delivery": message["x-sojourn-delivery"],
            "defects": [str(defect) for defect in message.defects],
            "parts": parts,
        }
        print(json.dumps(mail), flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, given):
    if (given.login, given.password) == (b"shop", b"open sesame"):
        return AuthResult(success=True, auth_data="shop")
    return AuthResult(success=False, handled=False)


async def main():
    authority = trustme.CA()
    authority.cert_pem.write_to_path(sys.argv[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    sink = Sink()
    loop = asyncio.get_running_loop()

    def connection():
        return SMTP(sink, enable_SMTPUTF8=True, loop=loop, tls_context=context, authenticator=authenticate)

    server = await loop.create_server(connection, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


asyncio.run(main())
