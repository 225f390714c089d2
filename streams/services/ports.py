"""Ports of this machine."""

import socket


def free_port(avoid: int | None = None) -> int:
    """Return a port of 127.0.0.1 that nobody listens on and that is not `avoid`."""
    with socket.socket() as first, socket.socket() as second:
        # Both are bound at once: the system never hands out one of them twice.
        for candidate in (first, second):
            candidate.bind(("127.0.0.1", 0))
        ports = [candidate.getsockname()[1] for candidate in (first, second)]
    return int(ports[1] if ports[0] == avoid else ports[0])


def is_free(port: int) -> bool:
    """Return whether `port` of 127.0.0.1 can be listened on, as a restarted server would."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def accepts_connections(port: int) -> bool:
    """Return whether somebody listens on `port` of 127.0.0.1."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
