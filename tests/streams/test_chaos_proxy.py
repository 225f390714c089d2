"""The link of the fault drills does what it says: whole, slow, cut, or deaf."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from streams.chaos.proxy import Link, Proxy, proxied


@contextmanager
def echo() -> Iterator[tuple[int, list[bytes]]]:
    """Run a server that sends back what it gets, and notes it."""
    heard: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(1_024):
                    heard.append(data)
                    connection.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@contextmanager
def through(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        yield client


def silent(client: socket.socket) -> bool:
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(10)
    return True


@pytest.mark.parametrize("link", [Link.WHOLE, Link.SLOW])
def test_a_link_passes_both_ways(link: Link) -> None:
    with echo() as (port, _), proxied(port) as proxy, through(proxy) as client:
        proxy.link = link
        client.sendall(b"ping")
        assert client.recv(10) == b"ping"


def test_a_cut_link_lets_nothing_through() -> None:
    with echo() as (port, heard), proxied(port) as proxy, through(proxy) as client:
        proxy.link = Link.CUT
        client.sendall(b"ping")
        assert silent(client)
        assert heard == []


def test_of_a_deaf_link_only_the_answers_are_lost() -> None:
    with echo() as (port, heard), proxied(port) as proxy, through(proxy) as client:
        proxy.link = Link.DEAF
        client.sendall(b"ping")
        assert silent(client)
        assert heard == [b"ping"]


def test_a_mended_link_serves_new_connections_only() -> None:
    with echo() as (port, _), proxied(port) as proxy, through(proxy) as before:
        proxy.link = Link.CUT
        before.sendall(b"ping")
        assert silent(before)
        proxy.mend()
        assert before.recv(10) == b""
        with through(proxy) as after:
            after.sendall(b"pong")
            assert after.recv(10) == b"pong"


def test_where_nobody_listens_the_connection_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with proxied(port) as proxy, through(proxy) as client:
        assert client.recv(10) == b""
