"""The shipped broker configuration on the real mosquitto: only its paths and ports are changed."""

import ssl
from pathlib import Path

import aiomqtt
import pytest
from support.certificates import make_authority, make_certificate
from support.servers import Mosquitto, free_port

from cloud.fleet.broker import BrokerFiles, new_password, password_hash, write_files

DEPLOY = Path(__file__).parents[2] / "deploy"


class Shipped(Mosquitto):
    """Mosquitto with both shipped files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.tls_port, self.certificate_port = free_port(), free_port()
        self.files = BrokerFiles(passwords=folder / "passwords", acl=folder / "acl")

    def command(self) -> list[str]:
        text = "user root\n" + (DEPLOY / "mosquitto.conf").read_text() + (DEPLOY / "mosquitto-tls.conf").read_text()
        for old, new in {
            "/etc/mosquitto/hinomi": str(self.folder),
            "/var/lib/mosquitto": str(self.folder),
            "listener 1883": f"listener {self.port} 127.0.0.1",
            "listener 8883": f"listener {self.tls_port} 127.0.0.1",
            "listener 8884": f"listener {self.certificate_port} 127.0.0.1",
        }.items():
            assert old in text
            text = text.replace(old, new)
        path = self.folder / "mosquitto.conf"
        path.write_text(text)
        return [self.program, "-c", str(path)]


@pytest.fixture
def shipped(tmp_path):
    server = Shipped(tmp_path / "mosquitto")
    make_authority(server.folder)
    make_certificate(server.folder, "server", "localhost")
    yield server
    server.kill()


def context(server: Shipped, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(server.folder / "ca.crt"))
    if certificate:
        made.load_cert_chain(*certificate)
    return made


async def test_a_password_opens_the_plain_and_the_tls_door_and_nothing_else_does(shipped):
    password = new_password()
    write_files(shipped.files, {"town/bridge": password_hash(password)}, "hinomi-cloud")
    shipped.start()
    for port, tls in ((shipped.port, None), (shipped.tls_port, context(shipped))):
        async with aiomqtt.Client(
            "127.0.0.1", port, username="town/bridge", password=password.reveal(), tls_context=tls
        ) as station:
            await station.publish("hinomi/v1/town/bridge/obs", b"x", qos=1)
        with pytest.raises(aiomqtt.MqttError):
            async with aiomqtt.Client("127.0.0.1", port, tls_context=tls, timeout=2):
                pass


async def test_a_client_certificate_is_the_user_name(shipped):
    write_files(shipped.files, {}, "hinomi-cloud")
    shipped.start()
    certificate = make_certificate(shipped.folder, "bridge", "town/bridge")
    async with aiomqtt.Client(
        "127.0.0.1",
        shipped.certificate_port,
        tls_context=context(shipped, certificate),
        protocol=aiomqtt.ProtocolVersion.V5,
    ) as station:
        await station.subscribe("hinomi/v1/town/bridge/ack")
        await station.publish("hinomi/v1/town/bridge/obs", b"x", qos=1)
    with pytest.raises(aiomqtt.MqttError):
        async with aiomqtt.Client("127.0.0.1", shipped.certificate_port, tls_context=context(shipped), timeout=2):
            pass
