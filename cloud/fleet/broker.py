"""What mosquitto must know: its password file and its access list, written whole and swapped in atomically.

A station's user name is ``community/station``; the access list has one line per leaf with ``%u`` and never a ``+``
or ``#`` for stations: a pattern with ``+`` lets one station write for any town (measured on mosquitto 2.0.11).
"""

import base64
import contextlib
import hashlib
import os
import secrets
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hinomi.config import Secret, Section
from hinomi.errors import ConfigError
from sensing.topic import ROOT

STATION_WRITES = ("obs", "status", "media", "cmd/result", "config/applied")
STATION_READS = ("ack", "cmd", "config")

# Mosquitto's own default. More rounds protect guessable passwords; ours are 128 random bits, and a thousand
# stations that reconnect together must not stall the broker's only thread.
_ITERATIONS = 101
_SALT_BYTES = 12
_HASH_BYTES = 64


class BrokerFiles(Section, frozen=True):
    """Where the broker's files are.

    Attributes:
        passwords: mosquitto's ``password_file``.
        acl: mosquitto's ``acl_file``.
        reload: command that makes the broker read them again, e.g. ``["systemctl", "reload", "mosquitto"]``;
            empty: the operator does it.
    """

    passwords: Path
    acl: Path
    reload: tuple[str, ...] = ()


def new_password() -> Secret:
    """A password nobody chose: 128 random bits, in letters that can be typed."""
    return Secret(secrets.token_urlsafe(16))


def password_hash(password: Secret, salt: bytes | None = None) -> str:
    """Mosquitto's ``$7$`` form: PBKDF2 with SHA-512, as mosquitto_passwd writes it."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.reveal().encode(), salt, _ITERATIONS, _HASH_BYTES)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def password_text(hashes: Mapping[str, str]) -> str:
    """The password file: one ``user:hash`` line each, sorted so that the same state is the same file."""
    return "".join(f"{user}:{hashed}\n" for user, hashed in sorted(hashes.items()))


def acl_text(cloud_user: str) -> str:
    """The access list: each station its own leaves, the cloud the other side of all of them."""
    lines = ["# Written by hinomi; edits are lost. One line a leaf, no wildcard for stations."]
    lines += [f"pattern write {ROOT}/%u/{leaf}" for leaf in STATION_WRITES]
    lines += [f"pattern read {ROOT}/%u/{leaf}" for leaf in STATION_READS]
    lines += ["", f"user {cloud_user}"]
    lines += [f"topic read {ROOT}/+/+/{leaf}" for leaf in STATION_WRITES]
    lines += [f"topic write {ROOT}/+/+/{leaf}" for leaf in STATION_READS]
    return "\n".join(lines) + "\n"


def write_files(files: BrokerFiles, hashes: Mapping[str, str], cloud_user: str) -> None:
    """Replace both files, then reload the broker.

    Raises:
        ConfigError: a folder is missing or not writable, or the reload command failed (the files are then written).
    """
    _replace(files.acl, acl_text(cloud_user))
    _replace(files.passwords, password_text(hashes))
    if files.reload:
        _reload(files.reload)


def _reload(command: tuple[str, ...]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)  # noqa: S603 - the operator's own
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", b"") or b"").decode(errors="replace").strip()
        raise ConfigError.of(
            "broker_files.reload", f"the files are written, but {' '.join(command)!r} failed: {error} {said}"
        ) from error


def _replace(path: Path, text: str) -> None:
    """Write beside and rename; keeps owner and mode, so that the broker's user can go on reading it."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
                _same_owner(path, file.fileno())
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError.of(f"broker_files ({path})", f"cannot be written: {error.strerror}") from error


def _same_owner(path: Path, descriptor: int) -> None:
    try:
        old = path.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, 0o640)
        # Mosquitto reads its files after dropping to its own user: the folder's group is the one meant to read.
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, -1, path.parent.stat().st_gid)
        return
    os.fchmod(descriptor, old.st_mode & 0o777)
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, old.st_uid, old.st_gid)
