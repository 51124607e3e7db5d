"""What the Python client sends again, and what never, against a server that breaks off and refuses."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest

from titan import BrokerUnavailable, Client, LimitReached, NotFound, TitanError, Unavailable
from titan.errors import BrokerUnreachable

JOB = {"id": "0" * 16, "group_name": "g", "status": "queued", "image": "i", "created_at": "2026-11-29T10:00:00.000Z"}
OK = json.dumps({"job": JOB, "jobs": [JOB]})
FINISHED = json.dumps({"job": {**JOB, "status": "succeeded", "receipts": [{"log_bytes": 0}, {"log_bytes": 4}]}})
"""A job with output."""
SILENT = json.dumps({"job": {**JOB, "status": "succeeded", "receipts": [{"log_bytes": 4}, {"log_bytes": 0}]}})
"""A job whose last run had no output."""
BREAK = ""
"""In place of an answer: the server closes the connection."""


def refused(status: int, code: str, *headers: str) -> str:
    """A refusal as a broker writes it."""
    return answer(status, json.dumps({"error": {"message": f"It is {code}.", "code": code}}), *headers)


def answer(status: int, body: str, *headers: str) -> str:
    """An answer of HTTP."""
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*head, "", body])


class Server:
    """Gives its answers in turn, one a connection, and keeps the requests."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """End its thread."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                head = "".join(iter(lambda: lines.readline().decode().rstrip("\n"), "\r"))
                length = int(head.lower().partition("content-length: ")[2].partition("\r")[0] or 0)
                self.requests.append(head + lines.read(length).decode())
                connection.sendall(self.answers.pop(0).encode())


@pytest.fixture
def server() -> Iterator[Server]:
    """The server."""
    server = Server()
    yield server
    server.close()


def verb(server: Server, number: int = -1) -> str:
    """The first line of a request that the server got."""
    return server.requests[number].partition(" HTTP")[0]


def keys(server: Server) -> set[str]:
    """The Idempotency-Keys of all requests."""
    return {text.partition("Idempotency-Key: ")[2].partition("\r")[0] for text in server.requests}


@pytest.mark.parametrize("fault", [BREAK, refused(503, "store_unavailable"), answer(502, "<html>")])
def test_an_enqueue_is_repeated_with_its_key(server: Server, fault: str) -> None:
    """When it is not known whether it was carried out, it is sent again with the same key; another one has another."""
    server.answers = [fault, fault, answer(201, OK), answer(201, OK)]
    with Client(server.url) as client:
        assert client.enqueue("g", image="i").id == JOB["id"]
        assert len(server.requests) == 3
        assert len(keys(server)) == 1
        client.enqueue("g", image="i")
    assert len(keys(server)) == 2


def test_retry_is_never_sent_twice(server: Server) -> None:
    """A call that would do something twice is repeated only if nothing was done."""
    server.answers = [refused(503, "overloaded"), BREAK]
    with Client(server.url) as client, pytest.raises(BrokerUnavailable, match="not known"):
        client.retry("g", "0" * 16)
    assert [verb(server, n) for n in (0, 1)] == [f"POST /v1/groups/g/jobs/{'0' * 16}/retry"] * 2


def test_a_delete_that_was_carried_out(server: Server) -> None:
    """The 404 of a repeat means that the first attempt deleted the job; without one before it is an error."""
    server.answers = [BREAK, refused(404, "not_found"), refused(404, "not_found")]
    with Client(server.url) as client:
        client.delete("g", "0" * 16)
        with pytest.raises(NotFound):
            client.delete("g", "0" * 16)


def test_next_is_sent_once(server: Server) -> None:
    """A consumer asks again after an error, as a new call."""
    server.answers = [BREAK, answer(200, OK), answer(200, OK)]
    with Client(server.url, retries=0) as client:
        consumer = client.consume("g", lease_s=3)
        delivery = next(consumer)
        assert delivery.job.id == JOB["id"]
        delivery.succeed()
        consumer.close()
    assert [verb(server, n) for n in range(3)] == [
        *["GET /v1/jobs?n=1&wait=20&lease=3&group=g"] * 2,
        f"POST /v1/groups/g/jobs/{'0' * 16}/success",
    ]


def test_retries_have_an_end(server: Server) -> None:
    """After the given number of retries the last error is raised, with the broker's text; 0 means none."""
    server.answers = [refused(429, "limit_reached"), refused(429, "limit_reached"), refused(503, "store_full")]
    with Client(server.url, retries=1) as client, pytest.raises(LimitReached, match=r"^It is limit_reached\.$"):
        client.get("g", "0" * 16)
    with Client(server.url, retries=0) as client, pytest.raises(Unavailable, match="store_full"):
        client.get("g", "0" * 16)


def test_an_answer_of_something_else(server: Server) -> None:
    """What is no Titan broker is named, whatever it answers."""
    server.answers = [
        answer(200, "[]"),
        answer(200, "{}"),
        answer(301, "", "Location: http://h/"),
        answer(404, "no"),
        "x\n",
    ]
    with Client(server.url, retries=0) as client:
        for error, text in (
            (BrokerUnavailable, "is no Titan broker"),
            (BrokerUnavailable, "is no Titan broker"),
            (TitanError, r"redirects to 'http://h/'\. Correct url\."),
            (TitanError, r"it answered 404\. Correct url\."),
            (BrokerUnavailable, r"does not speak HTTP\. Look at url\."),
        ):
            with pytest.raises(error, match=text):
                client.get("g", "0" * 16)


def test_an_unreachable_broker(unused_tcp_port: int) -> None:
    """Nothing was sent, and the message says what to do."""
    with Client(f"http://127.0.0.1:{unused_tcp_port}", retries=1) as client, pytest.raises(BrokerUnreachable) as raised:
        client.retry("g", "0" * 16)
    assert "Nothing listens there. Start a broker (titan broker), or correct url." in raised.value.message
    with (
        Client("http://no-such-host.invalid", retries=0) as client,
        pytest.raises(BrokerUnreachable, match="no-such-host"),
    ):
        client.get("g", "0" * 16)


def test_a_connection_that_the_broker_has_closed(server: Server) -> None:
    """A kept connection that was closed meanwhile is noticed before a call that must not be sent twice."""
    server.answers = [answer(200, OK), answer(200, OK)]
    with Client(server.url, retries=0) as client:
        client.get("g", "0" * 16)
        assert client.retry("g", "0" * 16).id == JOB["id"]


def test_a_log_that_is_on_its_way(server: Server) -> None:
    """The log of a job that has just finished is waited for; that of a job without output is not."""
    missing = refused(404, "not_found")
    server.answers = [missing, answer(200, FINISHED), missing, answer(200, FINISHED), answer(200, "one\n")]
    with Client(server.url) as client:
        assert client.log("g", JOB["id"]) == "one\n"
        for job in (SILENT, OK):
            server.answers = [missing, answer(200, job)]
            with pytest.raises(NotFound, match="not_found"):
                client.log("g", JOB["id"])
    assert server.answers == []


def test_a_log_that_does_not_come(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for a short time only: then the error says that there is none."""
    monkeypatch.setattr("titan.attempts._LOG_S", 0.0)
    server.answers = [refused(404, "not_found"), answer(200, FINISHED)]
    with Client(server.url) as client, pytest.raises(NotFound, match="not_found"):
        client.log("g", JOB["id"])
    assert server.answers == []
