"""The doctor at the cloud service."""

import asyncio
import contextlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import sqlalchemy as sa

from cloud.config import CloudConfig, HttpSection, load_config
from cloud.db import Database
from cloud.fleet.registry import Registry
from cloud.link.client import Connection, Refused
from cloud.link.section import BrokerSection, tls_context
from hinomi.doctor.findings import Around, Finding, Findings, clock, folder, is_there, tried, user
from hinomi.doctor.ports import port_problem
from hinomi.errors import ConfigError, Transient
from hinomi.journal.sqlite import SqliteJournal
from sensing.topic import everybody

_PATIENCE_S = 10.0
_ADD = "hinomi station add COMMUNITY/STATION"


class Report(msgspec.Struct):
    """What ``/healthz`` of a running service says."""

    ok: bool
    problems: list[str]


async def look(path: Path, around: Around) -> Findings:
    """Everything the service needs.

    Raises:
        ConfigError: the configuration itself is at fault.
    """
    config = load_config(path)
    journal = config.journal
    yield Finding("ok", "configuration", str(path))
    yield clock(around, trusted=False, replayed=config.clock is not None)
    if (finding := user(journal.path)) is not None:
        yield finding
    yield folder("journal", journal.path, cap=journal.cap_mb << 20, setting="[journal] cap_mb")
    if is_there(journal.path):
        for finding in _arrivals(journal.path):
            yield finding
    yield _database(config)
    yield await _store(config, around)
    words = f"{config.broker.host} lets {config.broker.username or 'the service'} in"
    yield await tried("broker", _sign_in(config.broker), words)
    yield await _page(config.http)
    yield _files(config)


def _arrivals(path: Path) -> Iterator[Finding]:
    try:
        stats = SqliteJournal.peek(path)
    except (Transient, ConfigError) as error:
        yield Finding("look", "arrivals", f"{error}; the service salvages what it can when it starts")
        return
    yield Finding("ok", "arrivals", f"{stats.pending_readings} readings wait for the store")
    if stats.quarantined:
        words = f"{stats.quarantined} packs were set aside; why: hinomi cloud quarantine list --config …"
        yield Finding("look", "quarantine", words)


def _database(config: CloudConfig) -> Finding:
    what = "database"
    file = _file_of(config.database.url)
    if file is not None and not is_there(file):
        made = folder(what, file, cap=0, setting="")
        return (
            made
            if made.verdict == "fail"
            else Finding("look", what, f"{file} is made at the first start, or by '{_ADD}'")
        )
    try:
        database = Database(config.database.url)
        try:
            count = len(Registry(database).stations())
        finally:
            database.close()
    except (ConfigError, Transient) as error:
        return Finding("fail", what, str(error))
    if count == 0:
        return Finding("look", what, f"no station is registered: {_ADD}")
    return Finding("ok", what, f"{count} station{'s' if count > 1 else ''} registered")


def _file_of(url: str) -> Path | None:
    """The file of an SQLite database; None for servers, and where the URL is wrong."""
    with contextlib.suppress(sa.exc.ArgumentError):
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            return Path(parsed.database)
    return None


async def _store(config: CloudConfig, around: Around) -> Finding:
    what, kind = "store", config.store.type
    file = getattr(config.store, "path", None)
    if isinstance(file, Path) and not is_there(file):
        made = folder(what, file, cap=0, setting="")
        return made if made.verdict == "fail" else Finding("ok", what, f"{file} is made at the first start")
    answer = await tried(what, _ask_store(config, around), f"the {kind} store answers and takes what is written")
    if answer.verdict == "fail" and "does not answer" in answer.words:
        return Finding("fail", what, f"{answer.words}; is it running, is [store] url right?")
    return answer


async def _ask_store(config: CloudConfig, around: Around) -> None:
    store = await config.store.open(around.clock)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await store.check()
    finally:
        await store.close()


async def _sign_in(section: BrokerSection) -> None:
    """Sign in under a client id of its own, so that a running service keeps its session."""
    beside = msgspec.structs.replace(section, client_id=f"{section.client_id[:57]}.doctor", session_expiry_s=0)
    where = f"{section.host}:{section.real_port}"
    context = tls_context(section)
    connection = Connection(beside, _ignore, _open_gate())
    try:
        await connection.open(context, [everybody("status")])
    except Refused as error:
        who = repr(section.username) if section.username else "a client without a name"
        raise Transient(
            f"{where} refuses {who}: {error}; are [broker] username and password those in the broker's files? "
            f"'{_ADD}' writes them anew, and the broker must read them (systemctl reload mosquitto)"
        ) from error
    except (OSError, TimeoutError) as error:
        text = str(error) or "no answer"
        raise Transient(f"{where} cannot be reached: {text}; {_advice(text, section)}") from error
    await connection.close()


def _advice(text: str, section: BrokerSection) -> str:
    small = text.lower()
    if "certificate verify failed" in small:
        return f"is [broker] ca its issuer, host ({section.host!r}) the name in it, and this machine's clock right?"
    if "ssl" in small:
        return "is this the port that speaks TLS?"
    if "closed the connection" in small and not section.tls:
        return "does this port want TLS (tls = true)?"
    return "is the broker running (systemctl status mosquitto), are [broker] host and port right?"


async def _ignore(_topic: str, _payload: bytes, _properties: object) -> int:
    return 0


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


async def _page(section: HttpSection) -> Finding:
    what = "live page"
    problem = port_problem(section.host, section.port)
    if problem is None:
        return Finding("ok", what, f"{section.host}:{section.port or 'any port'} is free")
    report = await asyncio.to_thread(_healthz, section)
    if report is None:
        return Finding("fail", what, f"{problem}; end it, or give [http] another port")
    if report.ok:
        return Finding("ok", what, f"the service runs at {section.host}:{section.port} and is well")
    return Finding("fail", what, f"the service runs and says: {'; '.join(report.problems)}")


def _healthz(section: HttpSection) -> Report | None:
    """What a running service says; None when something else holds the port."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(section.host, section.host)
    try:
        with urllib.request.urlopen(f"http://{host}:{section.port}/healthz", timeout=_PATIENCE_S) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    except (OSError, ValueError):
        return None
    try:
        return msgspec.json.decode(body, type=Report)
    except msgspec.MsgspecError:
        return None


def _files(config: CloudConfig) -> Finding:
    files = config.broker_files
    what = "broker files"
    if files is None:
        return Finding("look", what, "[broker_files] is not there: 'hinomi station add' cannot let stations in")
    missing = [str(path) for path in (files.passwords, files.acl) if not is_there(path)]
    if missing:
        words = f"{', '.join(missing)}: not there, or not to be seen by this user; '{_ADD}' writes them"
        return Finding("look", what, words)
    return Finding("ok", what, f"{files.passwords}, {files.acl}")
