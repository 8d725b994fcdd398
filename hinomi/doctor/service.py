"""The doctor at the cloud service."""

import asyncio
import socket
from pathlib import Path

import msgspec

from cloud.config import CloudConfig, HttpSection, load_config
from cloud.db import Database
from cloud.fleet.registry import Registry
from cloud.link.client import Connection, Refused
from cloud.link.section import BrokerSection, tls_context
from edge.clock import kernel_synced
from hinomi.clock import SystemClock
from hinomi.doctor.findings import Finding, Findings, clock, folder, tried
from hinomi.errors import ConfigError, Transient

_PATIENCE_S = 10.0


async def look(path: Path) -> Findings:
    """Everything the service needs.

    Raises:
        ConfigError: the configuration itself is at fault.
    """
    config = load_config(path)
    yield Finding("ok", "configuration", str(path))
    yield clock(SystemClock(), synced=kernel_synced()(), replayed=config.clock is not None)
    yield folder("journal", config.journal.path, needs_bytes=config.journal.cap_mb << 20)
    yield _database(config)
    yield await tried("store", _store(config), f"the {config.store.type} store answers and takes what is written")
    yield await tried("broker", _sign_in(config.broker), f"{config.broker.host} lets the service in")
    yield _page(config.http)
    yield _files(config)


def _database(config: CloudConfig) -> Finding:
    try:
        database = Database(config.database.url)
    except (ConfigError, Transient) as error:
        return Finding("fail", "database", str(error))
    try:
        count = len(Registry(database).stations())
    finally:
        database.close()
    if count == 0:
        return Finding("look", "database", "no station is registered: hinomi station add COMMUNITY/STATION")
    return Finding("ok", "database", f"{count} stations registered")


async def _store(config: CloudConfig) -> None:
    store = await config.store.open(SystemClock())
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await store.check()
    finally:
        await store.close()


async def _sign_in(section: BrokerSection) -> None:
    """Sign in under a client id of its own, so that a running service keeps its session."""
    beside = msgspec.structs.replace(section, client_id=f"{section.client_id}.doctor", session_expiry_s=0)
    where = f"{section.host}:{section.real_port}"
    connection = Connection(beside, _refuse, _open_gate())
    try:
        await connection.open(tls_context(section), [])
    except Refused as error:
        raise Transient(f"{where} refuses {section.username or 'a nameless client'}: {error}") from error
    except (OSError, TimeoutError) as error:
        raise Transient(
            f"{where} cannot be reached: {str(error) or 'no answer'}; is the broker running?"
        ) from error
    await connection.close()


async def _refuse(_topic: str, _payload: bytes, _properties: object) -> int:
    return 0


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


def _page(section: HttpSection) -> Finding:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((section.host, section.port))
        except OSError as error:
            words = f"{section.host}:{section.port}: {error.strerror}; fine if the service is running now"
            return Finding("look", "live page", words)
    return Finding("ok", "live page", f"{section.host}:{section.port} is free")


def _files(config: CloudConfig) -> Finding:
    files = config.broker_files
    if files is None:
        return Finding("look", "broker files", "not configured: 'hinomi station add' cannot let stations in")
    missing = [str(path) for path in (files.passwords, files.acl) if not path.exists()]
    if missing:
        words = f"{', '.join(missing)}: not there yet; 'hinomi station add' writes them"
        return Finding("look", "broker files", words)
    return Finding("ok", "broker files", f"{files.passwords}, {files.acl}")
