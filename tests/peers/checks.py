"""Checks of the release binary against foreign peers. Usage: checks.py PATH_OF_SOJOURN [NAME_OF_A_CHECK …].

Each check starts what it needs on free ports and in a temporary directory, and waits for outcomes, never for a time.
"""

import contextlib
import datetime
import json
import os
import pathlib
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request

from prometheus_client.parser import text_string_to_metric_families
from pyarrow import parquet

HERE = pathlib.Path(__file__).parent
BINARY = os.path.abspath(sys.argv[1])
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PATIENCE_S = 60
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


class Process:
    """A child whose stdout is read line by line as JSON."""

    def __init__(self, *command, env=None, stderr=None):
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=env, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def next(self):
        line = self.lines.get(timeout=PATIENCE_S)
        assert line is not None, f"{self.child.args} ended with {self.child.wait()}"
        return line

    def take(self, count):
        return [self.next() for _ in range(count)]

    def rest(self):
        lines = []
        while not self.lines.empty():
            lines.append(self.lines.get())
        return [line for line in lines if line is not None]

    def kill(self):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def close(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.kill()


class World:
    """A directory, the sinks and the server of one check."""

    def __init__(self, stack, directory):
        self.stack = stack
        self.directory = pathlib.Path(directory)
        self.mail = self.start(sys.executable, str(HERE / "mail_sink.py"), str(self.directory / "ca.pem"))
        self.mail_port = self.mail.next()["port"]
        self.hook = None
        self.hook_port = free_port()

    def start(self, *command, **options):
        process = Process(*command, **options)
        self.stack.callback(process.close)
        return process

    def start_hook(self):
        self.hook = self.start(sys.executable, str(HERE / "webhook_sink.py"), SECRET, str(self.hook_port))
        self.hook.next()

    def serve(self):
        listen = {"SOJOURN_HTTP_LISTEN": "127.0.0.1:0", "SOJOURN_TCP_LISTEN": "127.0.0.1:0"}
        trust = {"SSL_CERT_FILE": str(self.directory / "ca.pem"), "PEERS_PASSWORD": "open sesame"}
        env = {**os.environ, **listen, **trust}
        log = self.stack.enter_context(open(self.directory / "server.log", "a"))
        self.server = self.start(BINARY, "serve", "--data", str(self.directory / "data"), env=env, stderr=log)
        self.url = "http://" + self.server.next()["http"]

    def publish(self):
        text = (HERE / "resources.yaml").read_text()
        ports = {"MAIL_PORT": str(self.mail_port), "HOOK_PORT": str(self.hook_port), "SECRET": SECRET}
        for name, value in ports.items():
            text = text.replace(name, value)
        path = self.directory / "resources.yaml"
        path.write_text(text)
        self.sojourn("apply", str(path))

    def sojourn(self, *arguments):
        done = subprocess.run(
            [BINARY, *arguments, "--server", self.url, "--json"], capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, f"sojourn {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout.splitlines()[-1])

    def post(self, *events):
        """With curl, as a user would."""
        body = "\n".join(json.dumps(event) for event in events)
        command = ["curl", "--silent", "--show-error", "--fail-with-body", "--data-binary", "@-"]
        headers = ["--header", "content-type: application/x-ndjson"]
        done = subprocess.run(
            [*command, *headers, f"{self.url}/v1/events"], input=body, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, f"curl: {done.returncode} {done.stdout} {done.stderr}"
        answer = json.loads(done.stdout)
        assert answer["accepted"] == len(events), answer

    def sign_up(self, recipient, name="Ann"):
        profile = f"crm:{recipient}"
        update = {"email": recipient, "first_name": name}
        self.post(
            {"id": f"u-{recipient}", "type": "profile.update", "profile": profile, "properties": update},
            {"id": f"s-{recipient}", "type": "signup", "profile": profile, "properties": {"name": name, "total": 12.5}},
        )

    def messages(self, journey, message):
        return self.sojourn("report", journey)["journeys"][journey]["messages"][message]

    def wait_for_messages(self, journey, message, **expected):
        def seen():
            counts = self.messages(journey, message)
            return counts if all(counts[key] == count for key, count in expected.items()) else None

        return wait(seen, lambda: f"{expected}, got {self.messages(journey, message)}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(seen, what):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        result = seen()
        if result is not None:
            return result
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what()}")


def same(actual, expected):
    assert actual == expected, f"{actual!r} is not {expected!r}"


def pings(first, count):
    return [
        {"id": f"p-{n}", "type": "ping", "profile": f"crm:{n}", "properties": {"text": f'"{n}"\n\\ ü'}}
        for n in range(first, first + count)
    ]


@check
def mails_reach_a_real_server(world):
    world.serve()
    world.publish()
    world.sign_up("ann@example.com", name="Änn <&>")
    mail = world.mail.next()
    same(mail["to"], ["ann@example.com"])
    same(mail["from"], "shop@example.com")
    same(mail["subject"], "Grüße, Änn <&>")
    same(mail["message_id"], f"<{mail['delivery']}@example.com>")
    same(mail["defects"], [])
    assert "<b>Änn &lt;&amp;&gt;</b>" in mail["parts"]["text/html"], mail
    assert "Welcome, Änn <&>: 12.5 EUR" in mail["parts"]["text/plain"], mail
    world.wait_for_messages("onboarding", "welcome", sent=1, failed=0, in_doubt=0)


@check
def mails_are_encrypted_and_logged_in_where_asked(world):
    world.serve()
    world.publish()
    world.post(
        {"id": "u-1", "type": "profile.update", "profile": "crm:1", "properties": {"email": "ann@example.com"}},
        {"id": "b-1", "type": "purchase", "profile": "crm:1", "properties": {"total": 9}},
    )
    mail = world.mail.next()
    same((mail["encrypted"], mail["user"], mail["subject"]), (True, "shop", "Receipt"))
    same(list(mail["parts"]), ["text/plain"])
    world.wait_for_messages("receipts", "receipt", sent=1, failed=0, in_doubt=0)


@check
def a_mail_refused_for_now_is_sent_once_later(world):
    world.serve()
    world.publish()
    world.sign_up("later@example.com")
    same(world.mail.next()["to"], ["later@example.com"])
    world.wait_for_messages("onboarding", "welcome", sent=1, failed=0, in_doubt=0)
    same(world.mail.rest(), [])


@check
def refused_and_vanished_mails_are_told_apart(world):
    world.serve()
    world.publish()
    for recipient in ["reject@example.com", "vanish@example.com", "no address at all"]:
        world.sign_up(recipient)
    world.wait_for_messages("onboarding", "welcome", sent=0, failed=2, in_doubt=1)
    deliveries = world.sojourn("deliveries", "--in-doubt")["deliveries"]
    same([(row["profile"], row["state"]) for row in deliveries], [("crm:vanish@example.com", "in_doubt")])
    same(world.mail.rest(), [])


@check
def webhooks_are_verified_by_the_standards_library(world):
    world.start_hook()
    world.serve()
    world.publish()
    world.post(*pings(0, 30))
    world.wait_for_messages("pings", "note", sent=30, failed=0, in_doubt=0)
    requests = world.hook.take(40)
    same(world.hook.rest(), [])
    assert all(request["verified"] for request in requests), requests
    assert all(request["key"] == request["delivery"] for request in requests), requests
    assert all(request["user_agent"].startswith("sojourn/") for request in requests), requests
    same({request["content_type"] for request in requests}, {"application/json"})
    accepted = [request for request in requests if request["status"] == 200]
    same(any(request["duplicate"] for request in requests), False)
    same(sorted(json.loads(r["body"])["text"] for r in accepted), sorted(f'"{n}"\n\\ ü' for n in range(30)))


@check
def private_addresses_are_refused_unless_allowed(world):
    world.start_hook()
    world.serve()
    world.publish()
    world.post({"id": "f-1", "type": "forbidden", "profile": "crm:1", "properties": {}})
    world.wait_for_messages("strays", "stray", sent=0, failed=1)
    same(world.hook.rest(), [])


@check
def deliveries_outlive_a_kill_while_the_receiver_is_down(world):
    world.serve()
    world.publish()
    world.post(*pings(0, 50))
    world.server.kill()
    world.start_hook()
    world.serve()
    world.post(*pings(50, 5))
    world.wait_for_messages("pings", "note", sent=55, failed=0, in_doubt=0)
    world.wait_for_messages("pings", "note_in_log", sent=55, failed=0, in_doubt=0)
    accepted = [request for request in world.hook.rest() if request["status"] == 200]
    same(len({request["delivery"] for request in accepted}), 55)
    log = (world.directory / "data" / "messages.ndjson").read_text().splitlines()
    lines = [json.loads(line) for line in log if line.strip()]
    same(sorted(line["body"] for line in lines), sorted(f'noted: "{n}"\n\\ ü' for n in range(55)))


@check
def columns_are_read_by_pyarrow(world):
    world.serve()
    world.publish()
    for n in range(40):
        world.sign_up(f"ann{n}@example.com", name="Ann ü" if n % 2 else "Ann")
    world.sign_up("no address at all")
    world.wait_for_messages("onboarding", "welcome", sent=40, failed=1)
    ndjson, columns = world.directory / "steps.ndjson", world.directory / "steps.parquet"
    told = world.sojourn("export", "steps", "--out", str(ndjson))
    kept = world.sojourn("export", "steps", "--out", str(columns))
    lines = {line["id"]: line for line in map(json.loads, ndjson.read_text().splitlines())}
    same((told["steps"], kept["steps"]), (len(lines), len(lines)))

    file = parquet.ParquetFile(columns)
    same(file.metadata.num_rows, len(lines))
    types = {field.name: str(field.type) for field in file.schema_arrow}
    same((types["time"], types["due"]), ("timestamp[ms, tz=UTC]", "timestamp[ms, tz=UTC]"))
    same((types["journey"], types["version"], types["ended"]), ("string", "uint32", "bool"))
    same(file.schema_arrow.field("journey").nullable, False)
    chunks = {c.path_in_schema: c for c in map(file.metadata.row_group(0).column, range(len(types)))}
    same({chunk.compression for chunk in chunks.values()}, {"SNAPPY"})
    same((chunks["journey"].has_dictionary_page, chunks["id"].has_dictionary_page), (True, False))

    def as_told(value):
        if isinstance(value, datetime.datetime):
            return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z"
        return value

    rows = file.read().to_pylist()
    read = {row["id"]: {name: as_told(value) for name, value in row.items() if value is not None} for row in rows}
    same(read, lines)
    assert any(line["step"] == "message" and line["reason"] == "sent" for line in lines.values()), lines


@check
def metrics_are_read_by_prometheus_parser(world):
    world.serve()
    world.publish()
    world.sign_up("ann@example.com")
    world.wait_for_messages("onboarding", "welcome", sent=1)

    def sent():
        with urllib.request.urlopen(f"{world.url}/metrics", timeout=PATIENCE_S) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        assert families, "no metrics at all"
        labels = {"channel": "email", "outcome": "sent"}
        values = [s.value for f in families for s in f.samples if s.name == "sojourn_deliveries_total" and s.labels == labels]
        return values or None

    same(wait(sent, lambda: "sojourn_deliveries_total of email"), [1.0])


def run(function):
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="sojourn-peers-"))
        try:
            function(World(stack, directory))
            print(f"ok      {function.__name__}", flush=True)
            return True
        except Exception:
            print(f"FAILED  {function.__name__}\n{traceback.format_exc()}", flush=True)
            log = pathlib.Path(directory) / "server.log"
            if log.exists():
                print("\n".join(log.read_text().splitlines()[-20:]), flush=True)
            return False


def main():
    wanted = set(sys.argv[2:])
    results = [run(function) for function in CHECKS if not wanted or function.__name__ in wanted]
    failed = results.count(False)
    print(f"{len(results) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not results else 0)


main()
