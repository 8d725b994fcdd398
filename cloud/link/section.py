"""Where the broker is and who we are to it."""

import ssl
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from hinomi.config import Secret, Section
from hinomi.errors import ConfigError

PORT = 1883
TLS_PORT = 8883


class BrokerSection(Section, frozen=True):
    """The broker.

    Attributes:
        host: name or address.
        port: 0: 1883, or 8883 with TLS.
        tls: encrypt, and check the broker's certificate against ``ca`` (or the system's authorities).
        ca: file of authorities, PEM.
        certificate: our own certificate, PEM, where the broker asks for one.
        key: its private key, PEM.
        username: empty: none.
        password: ``password_file`` reads it from a file.
        client_id: the persistent session's name; two clouds on one broker need two names.
        window: greatest number of messages the broker may send ahead of our acknowledgement.
        window_mb: reading pauses while the messages in work are larger than this, MB.
        session_expiry_s: how long the broker keeps what stations send while we are away, s.
        keepalive_s: seconds of silence after which the connection is checked.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    username: str = ""
    password: Secret | None = None
    client_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "hinomi-cloud"
    window: Annotated[int, Meta(ge=2, le=65535)] = 2000
    window_mb: Annotated[int, Meta(ge=1, le=4096)] = 32
    session_expiry_s: Annotated[int, Meta(ge=0, le=0xFFFFFFFE)] = 7 * 86400
    keepalive_s: Annotated[int, Meta(ge=2, le=3600)] = 20

    def __post_init__(self) -> None:
        if not self.tls and (self.ca or self.certificate or self.key):
            raise ValueError("ca, certificate and key need tls = true")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together; give both or none")
        if self.password is not None and not self.username:
            raise ValueError("a password needs a username")

    @property
    def real_port(self) -> int:
        """The port, with the protocol's own where none was given."""
        return self.port or (TLS_PORT if self.tls else PORT)


def tls_context(section: BrokerSection) -> ssl.SSLContext | None:
    """The TLS context of a section, None without TLS.

    Raises:
        ConfigError: a file is missing or is not what it should be; all such faults at once.
    """
    if not section.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=str(section.ca) if section.ca else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError.of("broker.ca", f"{section.ca} is no usable file of authorities: {error}") from error
    if section.certificate is not None and section.key is not None:
        try:
            context.load_cert_chain(section.certificate, section.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError.of(
                "broker.certificate",
                f"{section.certificate} and {section.key} are no usable certificate and key: {error}",
            ) from error
    return context
