"""Clients that are slow, silent, endless or many, on raw sockets; everybody else is served meanwhile."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx2
import pytest
from PIL import Image
from running import Running, running, until
from stubs import Able, Stub
from uvicorn.protocols.http.h11_impl import H11Protocol

from tranh.serve.app import Settings
from tranh.serve.feed import PROGRESS
from tranh.serve.limits import Patience, Turns
from tranh.serve.orders import Order, Work
from tranh.types import Event

SHORT = Patience(head=0.4, grace=0.5, rate=20_000, reading=0.5, linger=0.3, each=4)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running([Able()], Settings(most=200_000, most_json=50_000), SHORT) as found:
        yield found


@contextmanager
def connected(server: Running) -> Iterator[socket.socket]:
    with socket.create_connection(server.address, timeout=5) as made:
        yield made


def rest(made: socket.socket) -> bytes:
    """All that the server still says until it hangs up."""
    data = b""
    while True:
        try:
            more = made.recv(65536)
        except ConnectionResetError:
            return data
        if not more:
            return data
        data += more


def begun(server: Running, more: bytes = b"") -> bytes:
    host = f"{server.address[0]}:{server.address[1]}".encode()
    return b"POST /v1/images/generations HTTP/1.1\r\nHost: " + host + b"\r\nContent-Type: application/json\r\n" + more


def told(reply: bytes) -> tuple[int, str]:
    head, _, said = reply.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(said)["error"]["message"]


def test_headers_that_do_not_end(server: Running) -> None:
    with connected(server) as silent, connected(server) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\n")
        for _ in range(8):  # a letter now and then does not help
            time.sleep(0.1)
            try:
                slow.sendall(b"x")
            except OSError:
                break
        assert told(rest(silent)) == (408, "headers came too slowly")
        assert told(rest(slow))[0] == 408


def test_what_is_refused_before_any_route_is_told_as_all_else_is(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tranh.serve")

    def counted(status: int) -> float:
        samples = [one for metric in server.app.state.figures.registry.collect() for one in metric.samples]
        mine = [one for one in samples if one.name == "tranh_http_requests_total"]
        return sum(one.value for one in mine if one.labels["status"] == str(status))

    for said, status, retry in (
        (b"GET\r\n\r\n", 400, False),
        (b"GET /healthz HTTP/1.1\r\n", 408, True),
        (begun(server, b"Content-Length: 1000\r\nX-Request-Id: mine-1\r\n\r\n{"), 408, True),
    ):
        before, earlier = counted(status), len(caplog.records)
        with connected(server) as odd:
            odd.sendall(said)
            head = rest(odd).partition(b"\r\n\r\n")[0].decode().lower()
        assert int(head.split()[1]) == status and "x-content-type-options: nosniff" in head
        assert ("x-should-retry: false" in head) == retry
        id = head.partition("x-request-id: ")[2].split()[0]
        assert id.startswith("req_") or (b"mine-1" in said and id == "mine-1")
        until(lambda before=before, status=status: counted(status) > before)  # type: ignore[misc]
        lines = [one for one in caplog.records[earlier:] if one.getMessage() == "request"]
        assert [vars(one)["status"] for one in lines] == [status] and counted(status) == before + 1


def test_a_body_that_does_not_come(server: Running) -> None:
    with connected(server) as slow:
        slow.sendall(begun(server, b"Content-Length: 1000\r\n\r\n"))
        before = time.monotonic()
        assert told(rest(slow)) == (408, "a body came too slowly")
        assert 0.3 < time.monotonic() - before < 3


def test_a_body_that_comes_steadily_is_waited_for(server: Running) -> None:
    said = json.dumps({"prompt": "a cat", "user": "x" * 900}).encode() + b" " * 40_000
    with connected(server) as steady:
        steady.sendall(begun(server, f"Content-Length: {len(said)}\r\nConnection: close\r\n\r\n".encode()))
        for start in range(0, len(said), 4096):  # a second, twice the grace
            steady.sendall(said[start : start + 4096])
            time.sleep(0.1)
        assert rest(steady).startswith(b"HTTP/1.1 200")


def test_a_second_request_gets_no_more_time_than_the_first(server: Running) -> None:
    with connected(server) as kept:
        kept.sendall(f"GET /healthz HTTP/1.1\r\nHost: {server.address[0]}\r\n\r\n".encode())
        time.sleep(0.1)
        assert kept.recv(65536).startswith(b"HTTP/1.1 200")
        kept.sendall(b"GET /healthz HT")
        assert told(rest(kept))[0] == 408


def test_a_body_without_end_is_cut_off(server: Running) -> None:
    with connected(server) as endless:
        endless.sendall(begun(server, b"Transfer-Encoding: chunked\r\n\r\n"))
        stop = time.monotonic() + 30
        with pytest.raises(OSError):
            while time.monotonic() < stop:
                endless.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")
                time.sleep(0.001)  # the server is a thread of this process, and wants its turn
        assert time.monotonic() < stop
    with connected(server) as endless:  # one who listens is told
        endless.sendall(
            begun(server, b"Transfer-Encoding: chunked\r\n\r\n") + (b"1000\r\n" + b" " * 4096 + b"\r\n") * 14
        )
        assert told(rest(endless))[0] == 413


def test_a_body_that_is_too_large_is_not_read(server: Running) -> None:
    for length in (b"50001", b"99999999999999999999", b"-1", b"1e3"):
        with connected(server) as large:
            large.sendall(begun(server, b"Content-Length: " + length + b"\r\n\r\n"))
            reply = large.recv(65536)
            assert reply.split()[1] in (b"413", b"400"), reply


def test_what_is_no_http(server: Running) -> None:
    for data in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"G" * 70_000, b"GET / HTTP/1.1\r\nA:\0b\r\n\r\n"):
        with connected(server) as odd:
            odd.sendall(data)
            assert b'{"error"' in rest(odd)


def test_a_broken_body_after_a_head_makes_nobody_wait(server: Running) -> None:
    with connected(server) as odd:
        odd.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n")
        said = rest(odd)
        assert said.split()[1] == b"400" and said.endswith(b"\r\n\r\n")  # a reply to HEAD has no body
    assert httpx2.get(f"{server.url}/v1/models", timeout=5).status_code == 200


def test_a_fault_in_what_one_sent_is_his_alone(
    server: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = H11Protocol.data_received

    def broken(self: H11Protocol, data: bytes) -> None:
        if b"/broken" in data:
            raise ZeroDivisionError
        real(self, data)

    monkeypatch.setattr(H11Protocol, "data_received", broken)
    with connected(server) as odd:
        odd.sendall(b"GET /broken HTTP/1.1\r\n\r\n")
        assert rest(odd) == b"" and "ZeroDivisionError" in caplog.text
    assert httpx2.get(f"{server.url}/v1/models", timeout=5).status_code == 200


def test_a_turn_that_fails_takes_no_other_along() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    async def come() -> list[int]:
        turns, loop, read = Turns(), asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda loop, told: None)
        for one in (fail, lambda: read.append(1), fail, lambda: read.append(2)):
            turns.take(loop, one)
        await asyncio.sleep(0.1)
        turns.take(loop, lambda: read.append(3))
        await asyncio.sleep(0.1)
        return read

    assert asyncio.run(come()) == [1, 2, 3]


def test_who_does_not_read_is_hung_up_on(server: Running) -> None:
    with connected(server) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        line = f"GET /openapi.json HTTP/1.1\r\nHost: {server.address[0]}\r\n\r\n".encode()
        deaf.sendall(line * 100)
        before = time.monotonic()
        while server.patience.taken.total() and time.monotonic() < before + 10:
            time.sleep(0.05)
        assert not server.patience.taken.total()


def test_three_hundred_slow_clients_do_not_keep_others_waiting() -> None:
    with running([Able()]) as server, ExitStack() as slow:
        for k in range(300):
            made = slow.enter_context(socket.create_connection(server.address))
            made.sendall(b"GET /healthz HTTP/1.1\r\nX: " if k % 2 else begun(server, b"Content-Length: 1000\r\n\r\n{"))
        with httpx2.Client() as client:
            waited = []
            for _ in range(5):
                before = time.perf_counter()
                assert client.get(f"{server.url}/healthz").status_code == 200
                waited.append(time.perf_counter() - before)
            assert min(waited) < 0.2 and max(waited) < 1
        assert server.patience.taken.total() >= 300


class Showy(Stub):
    """A stub that draws without end, and counts how often it shows something large and how often that is looked at."""

    shown = looked = 0

    def ready(self, order: Order, pictures: Callable[[str], Image.Image]) -> Work:
        noise = Image.effect_noise((512, 512), 90)

        def look() -> Image.Image:
            self.looked += 1
            return noise

        def events() -> Iterator[Event]:
            while True:
                time.sleep(0.005)
                self.shown += 1
                yield Event("draw", 1, 4, preview=look)

        return Work(4, events)


def test_watchers_that_read_nothing_cost_nothing_and_end_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty of a job that waits, who hear a comment now and then; and five who leave a flood of previews unread."""
    monkeypatch.setattr("tranh.serve.events.KEEP_ALIVE", 0.2)
    monkeypatch.setattr("tranh.serve.process.GRACE", 1)
    model = Showy()

    def watch(id: str) -> socket.socket:
        made = socket.create_connection(server.address, timeout=20)
        made.sendall(f"GET /api/jobs/{id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return made

    def watching(id: str) -> int:
        return len(server.desk._feed._waiting.get(id, ()))

    with ExitStack() as left, httpx2.Client() as client:
        with running([model], active=1) as server:
            drawn, waits = (
                client.post(f"{server.url}/api/jobs", json={"request": {"seed": seed}}).json()["id"] for seed in (1, 2)
            )
            threads = threading.active_count()
            idle = [left.enter_context(watch(waits)) for _ in range(50)]
            deaf = [left.enter_context(watch(drawn)) for _ in range(5)]
            until(lambda: (watching(waits), watching(drawn)) == (50, 5))

            def quiet() -> bool:
                shown, looked = model.shown, model.looked
                until(lambda: model.shown >= shown + 60)
                return model.looked == looked > 0

            until(quiet)  # what nobody reads is made no more, however much is shown
            held = server.desk._feed._told[drawn].updates
            assert len(held) <= PROGRESS + 3 and [one.kind for one in held].count("preview") == 1
            assert threading.active_count() < threads + 40
            waited = []
            for path in ("/healthz", "/api/jobs", "/v1/models"):
                before = time.perf_counter()
                assert client.get(server.url + path).status_code == 200
                waited.append(time.perf_counter() - before)
            assert max(waited) < 2
            said = b""
            while b"\n: keep-alive\n" not in said:
                said += idle[0].recv(65536)
            assert said.startswith(b"HTTP/1.1 200")
            for one in (*idle[:10], *deaf[:2]):  # those who leave are forgotten
                one.close()
            until(lambda: (watching(waits), watching(drawn)) == (40, 3))
            before = time.monotonic()
        assert time.monotonic() - before < 5 and not server.desk._feed.watched()
        for one in (*idle[10:], *deaf[2:]):
            rest(one)


def test_connections_have_an_end() -> None:
    with running([Able()], patience=Patience(connections=5)) as server, ExitStack() as many:
        for _ in range(5):
            many.enter_context(connected(server))
        time.sleep(0.1)
        with connected(server) as more:
            assert told(rest(more)) == (503, "too many connections")
    patience = Patience(each=2)
    patience.taken.update(["10.0.0.1"] * 3 + ["127.0.0.1"] * 9)
    assert patience.full("10.0.0.1") and not patience.full("10.0.0.2") and not patience.full("127.0.0.1")


def test_nothing_is_left_of_those_who_came(server: Running) -> None:
    def come() -> None:
        httpx2.get(f"{server.url}/healthz")

    threads = [threading.Thread(target=come) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until = time.monotonic() + 5
    while server.patience.taken and time.monotonic() < until:
        time.sleep(0.02)
    assert not server.patience.taken
