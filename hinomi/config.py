"""One walker over msgspec Structs: TOML in, frozen sections out, every fault at once.

msgspec alone stops at the first fault; a person who edits a file on a roof wants the whole list. The walker visits
Sections, lists and tables itself and gives each leaf to ``msgspec.convert``, so types, ranges and patterns stay
declared once, in the Section.
"""

import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from hinomi.errors import ConfigError, Fault

S = TypeVar("S", bound="Section")


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen table of a configuration file; validate across fields in ``__post_init__`` (raise ValueError)."""


class Secret:
    """A value that never shows itself: prints as ``<secret>``; ``reveal()`` at the one place that sends it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself; never log it."""
        return self._value

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def load(path: Path, section: type[S]) -> S:
    """Read a TOML file into ``section``; relative paths inside it are relative to the file.

    Raises:
        ConfigError: unreadable, not TOML, or any number of faults in it.
    """
    return parse(read_toml(path), section, base=path.parent)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8 or is not TOML (with line and column).
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError.of(str(path), f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError.of(str(path), f"is not TOML: {error}") from error


def parse(data: Mapping[str, Any], section: type[S], *, base: Path = Path(), path: str = "") -> S:
    """Turn parsed tables into ``section``.

    Raises:
        ConfigError: with every fault, each named by its path below ``path``.
    """
    walker = Walker(base)
    value = walker.section(data, section, path)
    walker.finish()
    return cast("S", value)


class Walker:
    """Collects faults while it turns tables into Sections; plug-in tables can be walked with the same one.

    Attributes:
        faults: what was found so far, in the order of the file.
    """

    def __init__(self, base: Path = Path()) -> None:
        self.faults: list[Fault] = []
        self._base = base

    def finish(self) -> None:
        """Raise all faults together, if there are any."""
        if self.faults:
            raise ConfigError(self.faults)

    def fault(self, path: str, problem: str) -> None:
        """Note one fault and go on."""
        self.faults.append(Fault(path or "(file)", problem))

    def section(self, data: object, section: type[S], path: str) -> S | None:
        """``data`` as ``section``, or None with at least one fault noted."""
        if not isinstance(data, Mapping):
            self.fault(path, f"got {_shown(data)}, expected a table")
            return None
        before = len(self.faults)
        hints = typing.get_type_hints(section, include_extras=True)
        fields = {field.encode_name: field for field in msgspec.structs.fields(section)}
        data = self._secrets_from_files(data, fields, hints, path)
        self._unknown(data, list(fields), path)
        values: dict[str, Any] = {}
        for name, field in fields.items():
            where = _join(path, name)
            if name in data:
                values[field.name] = self.value(data[name], hints[field.name], where)
            elif field.required:
                self.fault(where, f"is missing, expected {_expected(hints[field.name])}")
        if len(self.faults) > before:
            return None
        try:
            return section(**values)
        except ValueError as error:
            self.fault(path, str(error))
            return None

    def value(self, data: object, hint: Any, path: str) -> Any:
        """``data`` as the type ``hint``; None with a fault noted when it does not fit."""
        kind = _without_none(hint)
        origin = typing.get_origin(kind)
        if isinstance(kind, type) and issubclass(kind, Section):
            return self.section(data, kind, path)
        if kind is Secret:
            if isinstance(data, str):
                return Secret(data)
            # Not even a secret of the wrong kind is shown.
            return self.fault(path, f"is not text, expected {_expected(hint)}")
        if kind is Path:
            return self._base / data if isinstance(data, str) and data else self._misfit(data, kind, path)
        if origin in {list, tuple} and isinstance(data, list):
            inner = typing.get_args(kind)[0]
            items = [self.value(item, inner, f"{path}[{index}]") for index, item in enumerate(data)]
            return items if origin is list else tuple(items)
        if origin is dict and isinstance(data, Mapping):
            inner = typing.get_args(kind)[1]
            return {str(key): self.value(item, inner, _join(path, str(key))) for key, item in data.items()}
        try:
            return msgspec.convert(data, hint, strict=True)
        except msgspec.ValidationError as error:
            return self._misfit(data, hint, path, str(error))

    def _misfit(self, data: object, hint: Any, path: str, why: str = "") -> None:
        reason = why.split(" - at ", maxsplit=1)[0]
        extra = f" ({reason})" if reason and not reason.startswith("Expected `") else ""
        self.fault(path, f"got {_shown(data)}, expected {_expected(hint)}{extra}{_did_you_mean(data, hint)}")

    def _unknown(self, data: Mapping[str, Any], known: list[str], path: str) -> None:
        for key in data:
            if key in known:
                continue
            near = difflib.get_close_matches(str(key), known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
            self.fault(_join(path, str(key)), f"is not a setting; {advice}")

    def _secrets_from_files(
        self, data: Mapping[str, Any], fields: Mapping[str, Any], hints: Mapping[str, Any], path: str
    ) -> dict[str, Any]:
        """Replace ``x_file`` by ``x`` where ``x`` is a Secret: secrets then need not stand in the file itself."""
        merged = dict(data)
        for name, field in fields.items():
            twin = f"{name}_file"
            if twin not in merged or twin in fields or _without_none(hints[field.name]) is not Secret:
                continue
            source = merged.pop(twin)
            if name in merged:
                self.fault(_join(path, twin), f"stands beside {name!r}; give one of them")
                continue
            secret = self._secret_file(source, _join(path, twin))
            # A placeholder keeps the walk going: the unreadable file is one fault, not two.
            merged[name] = secret if secret is not None else ""
        return merged

    def _secret_file(self, source: object, where: str) -> str | None:
        if not isinstance(source, str) or not source:
            self.fault(where, f"got {_shown(source)}, expected the path of a file")
            return None
        try:
            return (self._base / source).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self.fault(where, f"the file {source!r} cannot be read: {error}")
            return None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _without_none(hint: Any) -> Any:
    """``X`` of ``X | None``; anything else as it is."""
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        rest = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return hint


def _shown(data: object) -> str:
    text = repr(data)
    return text if len(text) <= 60 else f"{text[:57]}…"


_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    Secret: "text (a secret)",
}


def _expected(hint: Any) -> str:
    kind = _without_none(hint)
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        base, *metas = typing.get_args(kind)
        limits = ", ".join(filter(None, (_limits(meta) for meta in metas)))
        return f"{_expected(base)}{f' ({limits})' if limits else ''}"
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(arg) for arg in typing.get_args(kind))
    if origin in {list, tuple}:
        return "a list"
    if origin is dict or (isinstance(kind, type) and issubclass(kind, Section)):
        return "a table"
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(_expected(arg) for arg in typing.get_args(kind))
    return _WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def _limits(meta: object) -> str:
    if not isinstance(meta, msgspec.Meta):
        return ""
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "pattern": "matching"}
    sizes = {"min_length": "length at least", "max_length": "length at most"}
    found = [
        f"{words} {getattr(meta, key)}"
        for key, words in {**signs, **sizes}.items()
        if getattr(meta, key) is not None
    ]
    return ", ".join(found)


def _did_you_mean(data: object, hint: Any) -> str:
    kind = _without_none(hint)
    if typing.get_origin(kind) is not typing.Literal or not isinstance(data, str):
        return ""
    near = difflib.get_close_matches(data, [str(arg) for arg in typing.get_args(kind)], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
