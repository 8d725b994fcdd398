"""Whether a server could listen somewhere."""

import socket


def port_problem(host: str, port: int) -> str | None:
    """Why a server could not listen there; None: it could."""
    try:
        (family, kind, _, _, address), *_ = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        return f"{host!r} is no address of this machine: {error.strerror}"
    with socket.socket(family, kind) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address)
        except OSError as error:
            return f"{host}:{port} cannot be had: {error.strerror} (who: sudo ss -ltnp sport = :{port})"
    return None
