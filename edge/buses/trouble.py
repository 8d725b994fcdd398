"""An operating system's error turned into words that say what to do."""

import errno
import os
from pathlib import Path

from hinomi.errors import ConfigError, HinomiError, Transient

_ABSENT = {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTDIR}
_FORBIDDEN = {errno.EACCES, errno.EPERM}
_BUSY = {errno.EBUSY, errno.EAGAIN}


def opening(error: OSError, path: Path, *, group: str, when_absent: str, when_busy: str = "") -> HinomiError:
    """Why a device file could not be opened.

    Args:
        error: what the system said.
        path: the device file.
        group: the Unix group whose members may open it.
        when_absent: what makes the file appear.
        when_busy: who usually holds it.

    Returns:
        ConfigError where a person has to do something, else Transient.
    """
    if error.errno in _ABSENT:
        return ConfigError.of(str(path), f"is not there; {when_absent}")
    if error.errno in _FORBIDDEN:
        return ConfigError.of(
            str(path), f"may not be opened by this user; run: sudo usermod -aG {group} USER, then restart the agent"
        )
    if error.errno in _BUSY:
        hint = f"; {when_busy}" if when_busy else ""
        return Transient(f"{path} is in use by another program{hint} (who: sudo fuser -v {path})")
    return Transient(f"{path} cannot be opened: {words(error)}")


def words(error: OSError) -> str:
    """The system's own text, or what the library said."""
    return os.strerror(error.errno) if error.errno else str(error)
