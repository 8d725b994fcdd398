"""The configuration walker: every fault at once, each with its path, what was got and what was expected."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hinomi.config import Secret, Section, load, parse
from hinomi.errors import ConfigError


class Broker(Section, frozen=True):
    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1883
    password: Secret | None = None
    mode: Literal["tls", "plain"] = "tls"

    def __post_init__(self) -> None:
        if self.mode == "tls" and self.port == 1883:
            raise ValueError("mode 'tls' on port 1883, which is the plain port")


class Settings(Section, frozen=True):
    broker: Broker
    more: list[Broker] = []
    heights: dict[str, float] = {}
    path: Path | None = None
    pair: tuple[float, ...] = ()


def faults_of(data: dict) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(data, Settings)
    return [str(fault) for fault in caught.value.faults]


def test_all_faults_are_reported_at_once_in_the_order_of_the_file():
    assert faults_of(
        {
            "broker": {"hots": "x", "port": 0, "mode": "tsl"},
            "more": [{"host": 1}, 7],
            "heights": {"a": "b"},
            "unknown": 1,
        }
    ) == [
        "unknown: is not a setting; known here: broker, heights, more, pair, path",
        "broker.hots: is not a setting; did you mean 'host'?",
        "broker.host: is missing, expected text",
        "broker.port: got 0, expected a whole number (at least 1, at most 65535)",
        "broker.mode: got 'tsl', expected one of 'tls', 'plain' (Invalid enum value 'tsl'); did you mean 'tls'?",
        "more[0].host: got 1, expected text",
        "more[1]: got 7, expected a table",
        "heights.a: got 'b', expected a number",
    ]


def test_a_check_across_fields_is_named_by_its_table():
    assert faults_of({"broker": {"host": "x"}}) == ["broker: mode 'tls' on port 1883, which is the plain port"]


def test_values_arrive_typed_and_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "a.toml").write_text(
        'path = "data/x"\npair = [1, 2.5]\n[broker]\nhost = "h"\nport = 8883\npassword_file = "secret"\n'
    )
    (tmp_path / "secret").write_text("hush\n")
    settings = load(tmp_path / "a.toml", Settings)
    assert settings.path == tmp_path / "data/x"
    assert settings.pair == (1.0, 2.5)
    assert settings.broker.password == Secret("hush")


def test_a_secret_never_shows_itself():
    broker = Broker(host="h", port=8883, password=Secret("hush"))
    assert "hush" not in f"{broker} {broker!r} {broker.password}"
    assert "<secret>" in repr(broker)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"password_file": "/nowhere"}, "broker.password_file: the file '/nowhere' cannot be read"),
        ({"password_file": "x", "password": "y"}, "broker.password_file: stands beside 'password'"),
        ({"password_file": 3}, "broker.password_file: got 3, expected the path of a file"),
        ({"password": 3}, "broker.password: is not text, expected text (a secret)"),
    ],
)
def test_what_is_wrong_with_a_secret_is_one_fault(data, expected):
    faults = faults_of({"broker": {"host": "h", "port": 8883, **data}})
    assert len(faults) == 1
    assert faults[0].startswith(expected)


@pytest.mark.parametrize("text", ["a = ", "\x00", "[a]\n[a]"])
def test_a_file_that_is_not_toml_says_where(tmp_path, text):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"a\.toml: is not TOML: .*line 1|a\.toml: is not TOML"):
        load(tmp_path / "a.toml", Settings)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "none.toml", Settings)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["broker", "host", "port", "more", "path", "password_file"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["broker", "more", "heights", "path", "pair", "x"]), JSON, max_size=5))
def test_whatever_is_in_the_file_the_walker_answers_with_settings_or_faults(data):
    faults = ()
    settings = None
    try:
        settings = parse(data, Settings)
    except ConfigError as error:
        faults = error.faults
    assert isinstance(settings, Settings) != bool(faults)
    assert all(fault.path and fault.problem for fault in faults)
