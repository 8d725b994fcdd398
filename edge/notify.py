"""Telling systemd how it goes: datagrams to ``$NOTIFY_SOCKET`` (sd_notify(3)); without systemd, nothing happens."""

import os
import socket


class Notifier:
    """Sends READY, WATCHDOG, RELOADING and STOPPING."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        # A leading @ means Linux's abstract namespace, whose names begin with a zero byte.
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def tell(self, *lines: str) -> None:
        """Send e.g. ``READY=1``; a systemd that does not listen is not our trouble."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            try:
                sock.sendto("\n".join(lines).encode(), socket.MSG_DONTWAIT, self._address)
            except OSError:
                return

    @property
    def watchdog_s(self) -> float | None:
        """Seconds between two signs of life, half of what systemd waits for; None: it does not watch."""
        if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            return None
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        return int(microseconds) / 2_000_000 if microseconds.isdigit() else None
