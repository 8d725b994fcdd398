"""Child processes that cannot outlive the demo: ended in order, or by the kernel when the demo itself is killed."""

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from hinomi.errors import ConfigError

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _follow_parent() -> None:
    """In the child: die when the parent dies, and leave Ctrl-C to the parent, which ends us in order."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)


class Process:
    """One child; its output goes to a log file, its lines can be waited for."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._popen = subprocess.Popen(  # noqa: S603 - our own programs
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            preexec_fn=_follow_parent,  # noqa: PLW1509 - two system calls, no lock can be held
        )
        threading.Thread(target=self._copy, name=f"log-{name}", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._popen.poll() is None

    def wait_for_line(self, prefix: str, seconds: float) -> str:
        """The first line of output that begins with ``prefix``, without it.

        Raises:
            ConfigError: it ended or stayed silent; its last words are in the message.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                break
            if line.startswith(prefix):
                return line[len(prefix) :].strip()
        raise ConfigError.of(self.name, f"did not get ready; its last words:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text("utf-8", errors="replace")[-1500:] if self.log.exists() else ""

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        if self.alive:
            self._popen.terminate()

    def wait(self, seconds: float) -> bool:
        """Whether it ended within ``seconds``; if not it is killed."""
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
            return False
        return True

    def _copy(self) -> None:
        output = self._popen.stdout
        if output is None:
            raise RuntimeError("started without a pipe")
        with self.log.open("a", encoding="utf-8") as log, output:
            for line in output:
                log.write(line)
                log.flush()
                self._lines.put(line)
        self._lines.put(None)


class Processes:
    """All children of the demo; leaving it ends them in reverse order of their start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: dict[str, Process] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self._children)):
            self.stop([name], seconds=5.0)

    def hinomi(self, name: str, *arguments: str) -> Process:
        """Start ``hinomi …`` with this interpreter."""
        return self.start(name, [sys.executable, "-m", "hinomi", *arguments])

    def start(self, name: str, command: Sequence[str]) -> Process:
        """Start any program under ``name``."""
        child = Process(name, command, self._folder / f"{name}.log")
        self._children[name] = child
        return child

    def stop(self, names: Sequence[str], *, seconds: float) -> list[str]:
        """End these together; returns the names of those that had to be killed."""
        chosen = {name: self._children.pop(name) for name in names if name in self._children}
        for child in chosen.values():
            child.terminate()
        end = time.monotonic() + seconds
        return [name for name, child in chosen.items() if not child.wait(max(0.1, end - time.monotonic()))]

    def fallen(self) -> Mapping[str, str]:
        """Children that ended by themselves, with their last words."""
        return {name: child.last_words() for name, child in self._children.items() if not child.alive}
