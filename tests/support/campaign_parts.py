"""One process of a town: killed, stopped, frozen, started again; and the broker with the shipped configuration."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from support.servers import Mosquitto, die_with_parent

DEPLOY = Path(__file__).parents[2] / "deploy"


class Part:
    """One process that can be killed, stopped, frozen, and started again.

    Attributes:
        down: not running because somebody wanted it.
    """

    def __init__(self, name: str, command: Callable[[], Sequence[str]], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.down = True
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> None:
        self.start_with(self._command())

    def start_with(self, command: Sequence[str]) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call, no lock can be held
            )
        self.down = False
        self._started = time.monotonic()

    @property
    def age_s(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._started

    def hang_up(self) -> None:
        """Have it read its configuration again."""
        self.check()
        self._living().send_signal(signal.SIGHUP)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        self.check()
        self._living().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if not self.down:
            self._living().send_signal(signal.SIGCONT)

    def check(self) -> None:
        """It may be down because we wanted it, and for no other reason."""
        if not self.down and self._living().poll() is not None:
            raise AssertionError(f"{self.name} ended by itself ({self._living().returncode}):\n{self.text[-3000:]}")

    def wait(self, seconds: float) -> int:
        """Its exit status, once it has ended by itself."""
        code = self._living().wait(seconds)
        self.down = True
        return code

    def _end(self, number: signal.Signals) -> None:
        if self.down:
            return
        self.check()
        self.down = True
        process = self._living()
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)
            raise AssertionError(
                f"{self.name} did not end within 20 s of {number.name}:\n{self.text[-3000:]}"
            ) from None

    def _living(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process


class Broker(Mosquitto):
    """Mosquitto with the shipped file; only its paths and its port are others."""

    def command(self) -> list[str]:
        text = "user root\n" + (DEPLOY / "mosquitto.conf").read_text("utf-8")
        for old, new in {
            "/etc/mosquitto/hinomi": str(self.folder),
            "/var/lib/mosquitto": str(self.folder),
            "listener 1883": f"listener {self.port} 127.0.0.1",
        }.items():
            assert old in text
            text = text.replace(old, new)
        path = self.folder / "mosquitto.conf"
        path.write_text(text)
        return [self.program, "-c", str(path)]
