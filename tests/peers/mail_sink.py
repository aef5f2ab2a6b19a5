"""A mail server (aiosmtpd) that prints {"port": n} and then one JSON line for every mail it accepted.

What it does depends on the recipient's local part: `reject` is refused for good, `later…` is refused once and then
accepted, `vanish` loses its connection after the data and before the reply. Everything else is accepted.
"""

import asyncio
import email
import email.policy
import json

from aiosmtpd.smtp import SMTP


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
            "subject": str(message["subject"]),
            "message_id": message["message-id"],
            "date": message["date"],
            "delivery": message["x-sojourn-delivery"],
            "defects": [str(defect) for defect in message.defects],
            "parts": parts,
        }
        print(json.dumps(mail), flush=True)
        return "250 taken"


async def main():
    sink = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(sink, enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


asyncio.run(main())
