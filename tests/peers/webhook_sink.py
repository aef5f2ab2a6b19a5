"""A webhook receiver that checks signatures with the library of Standard Webhooks.

Usage: webhook_sink.py SECRET [PORT]. Prints {"port": n} and then one JSON line for every request. Every third delivery
is answered 500 the first time it comes; a delivery that was accepted before is accepted again and marked a duplicate.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

VERIFIER = Webhook(sys.argv[1])
LOCK = threading.Lock()
SEEN = []
ACCEPTED = set()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        delivery = self.headers["webhook-id"]
        try:
            VERIFIER.verify(body, {name.lower(): value for name, value in self.headers.items()})
            verified = True
        except WebhookVerificationError:
            verified = False
        with LOCK:
            first = delivery not in SEEN
            if first:
                SEEN.append(delivery)
            status = 401 if not verified else 500 if first and len(SEEN) % 3 == 0 else 200
            duplicate = delivery in ACCEPTED
            if status == 200:
                ACCEPTED.add(delivery)
            request = {
                "delivery": delivery,
                "verified": verified,
                "key": self.headers["idempotency-key"],
                "content_type": self.headers["content-type"],
                "user_agent": self.headers["user-agent"],
                "body": body.decode(),
                "status": status,
                "duplicate": duplicate,
            }
            print(json.dumps(request), flush=True)
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Receiver)
print(json.dumps({"port": server.server_address[1]}), flush=True)
server.serve_forever()
