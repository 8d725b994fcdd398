"""One real agent: its configuration, its process, the socket it takes readings from."""

import asyncio
import ctypes
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from hinomi.clock import Clock
from hinomi.errors import ConfigError

_READY_S = 60.0
_END_S = 10.0
_POLL_S = 0.05
_LINE_LIMIT = 1 << 20
_EXIT_CONFIG = 2
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Broker(msgspec.Struct, frozen=True):
    """What the agents are told of the broker.

    Attributes:
        host, port: on this machine.
        tls: encrypted.
        ca, certificate, key: files, with ``tls``.
    """

    host: str
    port: int
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class Gone(Exception):
    """The agent ended, or does not answer any more."""


class Counters(msgspec.Struct, frozen=True):
    """What an agent says of itself, in readings over the life of its journal."""

    accepted: int = 0
    acked: int = 0
    pending: int = 0
    dropped: int = 0


class Agent:
    """``hinomi edge run`` as a child process; enter ``start``, leave ``end``.

    Args:
        station: ``community/station``.
        folder: its own; the journal stays there.
        socket: where its intake listens; a short path.
        pace: real time.
    """

    def __init__(self, station: str, folder: Path, socket: Path, pace: Clock) -> None:
        self.station = station
        self.log = folder / "agent.log"
        self._folder = folder
        self._config = folder / "edge.toml"
        self._secret = folder / "password"
        self._socket = socket
        self._pace = pace
        self._process: subprocess.Popen[bytes] | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    def configure(self, broker: Broker, *, password: str | None, interval_s: float) -> None:
        """Write its configuration; a password stands in a file of its own that only this user can read.

        Raises:
            ConfigError: the folder cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if password is not None:
                self._secret.touch(mode=0o600)
                self._secret.write_text(password, "utf-8")
            self._config.write_text(self._toml(broker, password is not None, interval_s), "utf-8")
        except OSError as error:
            raise ConfigError.of("--state", f"{self._folder} cannot be written: {error.strerror}") from error

    def _toml(self, broker: Broker, secret: bool, interval_s: float) -> str:  # noqa: FBT001 - private, one caller
        files = {"ca": broker.ca, "certificate": broker.certificate, "key": broker.key}
        lines = [
            "[station]",
            f"id = {_text(self.station)}",
            "[broker]",
            f"host = {_text(broker.host)}",
            f"port = {broker.port}",
            f"tls = {_text(broker.tls)}",
            *(f"{name} = {_text(str(path.absolute()))}" for name, path in files.items() if path is not None),
            *([f"password_file = {_text(self._secret.name)}"] if secret else []),
            "[journal]",
            f"path = {_text('journal.sqlite')}",
            "cap_mb = 4000",
            "commit_s = 0.2",
            "[uplink]",
            "resend_s = 5.0",
            "[[intake]]",
            'type = "socket"',
            f"path = {_text(str(self._socket))}",
            f"interval_s = {min(interval_s, 86400.0)}",
            "wait_s = 0.0",
        ]
        return "\n".join(lines) + "\n"

    async def start(self) -> None:
        """Start it and wait until its socket answers.

        Raises:
            ConfigError: it found something that a person has to fix.
            Gone: it ended, or did not get ready in time.
        """
        with self.log.open("ab") as log:
            # In this very thread, whose end the kernel would take for the parent's; not by asyncio, whose watcher
            # and whose send_signal race for the exit status.
            process = self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program; a few ms
                [sys.executable, "-m", "hinomi", "edge", "run", "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for us alone: we end the agents, after asking them for their counters.
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - only a system call, no lock can be held
            )
        end = self._pace.monotonic() + _READY_S
        while process.poll() is None and self._pace.monotonic() < end:
            try:
                await self._connect()
            except OSError:
                await self._pace.sleep(_POLL_S)
            else:
                return
        said = await asyncio.to_thread(self.last_words)
        if process.returncode == _EXIT_CONFIG:
            raise ConfigError.of(self.station, f"its agent says:\n{said}")
        raise Gone(f"the agent of {self.station} did not get ready; its last words:\n{said}")

    async def hand_over(self, readings: Sequence[dict[str, Any]]) -> list[tuple[int, str]]:
        """Hand readings over; when this returns, all but the returned (index, reason) are committed.

        Raises:
            Gone: the agent ended; whether it committed them is not known.
        """
        while True:
            answer = await self._ask({"readings": readings})
            if "error" not in answer:
                return [(each["index"], each["reason"]) for each in answer["refused"]]
            if not answer["error"].startswith("try again"):
                raise Gone(f"the agent of {self.station} does not understand us: {answer['error']}")
            await self._pace.sleep(1.0)

    async def counters(self) -> Counters:
        """What it has accepted, and what of that the cloud has acknowledged.

        Raises:
            Gone: the agent ended.
        """
        return msgspec.convert(await self._ask({"status": True}), Counters, strict=False)

    async def restart(self) -> None:
        """Start it again after it ended by itself, as systemd would."""
        await self._terminate()
        await self.start()

    async def end(self) -> None:
        """Ask it to end, insist after a while, and remove the password's file."""
        await self._terminate()
        self._secret.unlink(missing_ok=True)

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text("utf-8", "replace")[-1500:].strip() if self.log.exists() else ""

    async def _terminate(self) -> None:
        self._disconnect()
        process = self._process
        if process is None:
            return
        process.terminate()
        end = self._pace.monotonic() + _END_S
        while process.poll() is None and self._pace.monotonic() < end:
            await self._pace.sleep(_POLL_S)
        process.kill()
        process.wait()

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        async with self._turn:
            try:
                reader, writer = self._streams or await self._connect()
                writer.write(msgspec.json.encode(request) + b"\n")
                await writer.drain()
                line = await reader.readline()
            except OSError as error:
                self._disconnect()
                raise Gone(f"the agent of {self.station} is gone: {error}") from error
            except asyncio.CancelledError:
                # The answer would be taken for that of the next request.
                self._disconnect()
                raise
            if not line.endswith(b"\n"):
                self._disconnect()
                raise Gone(f"the agent of {self.station} is gone")
        answer: dict[str, Any] = msgspec.json.decode(line)
        return answer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._streams = await asyncio.open_unix_connection(self._socket, limit=_LINE_LIMIT)
        return self._streams

    def _disconnect(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _text(value: str | bool) -> str:  # noqa: FBT001 - a value, not a switch
    """A TOML string or boolean, which JSON writes the same way."""
    return json.dumps(value, ensure_ascii=False)


def _end_with_parent() -> None:
    """In the child: when we are killed, the kernel asks it to end, so that not even then an agent stays behind."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
