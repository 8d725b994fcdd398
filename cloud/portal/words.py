"""The live page's words and numbers, in Japanese and English."""

import math
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from sensing.observation import Flag
from sensing.quantity import Quantity

Lang = Literal["ja", "en"]
LANGS: tuple[Lang, ...] = ("ja", "en")

TEXT: dict[str, tuple[str, str]] = {
    "title": ("ひのみ 観測の今", "Hinomi live readings"),
    "brand": ("ひのみ", "Hinomi"),
    "tagline": ("町の火の見やぐら", "the town's watchtower"),
    "other": ("English", "日本語"),
    "skip": ("観測値へ", "Skip to the readings"),
    "meter": ("測定値のゆくえ", "Where every reading is"),
    "all": ("全体", "All together"),
    "fine": ("失われた測定値はありません", "No reading is lost"),
    "bad": ("測定値の数が合いません", "Readings do not add up"),
    "empty": ("まだ測定値が届いていません", "No reading has arrived yet"),
    "accepted": ("受け付け", "Accepted"),
    "stored": ("保存済み", "Stored"),
    "on_its_way": ("輸送中", "On its way"),
    "quarantined": ("隔離", "Quarantined"),
    "dropped": ("間引き", "Dropped"),
    "written_off": ("除却", "Written off"),
    "lost": ("不明", "Lost"),
    "accepted_is": ("観測局が記録", "recorded by the stations"),
    "stored_is": ("データベースに保管", "in the database"),
    "on_its_way_is": ("観測局・受信記録に保管", "in a station or in the arrival journal"),
    "quarantined_is": ("理由をつけて別置き", "set aside with a reason"),
    "dropped_is": ("観測局が申告して破棄", "given up and declared by a station"),
    "written_off_is": ("交換した記録の分", "of journals that were replaced"),
    "lost_is": ("所在が分からない分", "nowhere to be found"),
    "readings": ("件", "readings"),
    "stations": ("観測局", "Stations"),
    "online": ("通信中", "Online"),
    "offline": ("切断", "Offline"),
    "unknown": ("未接続", "Never seen"),
    "no_data": ("まだ測定値がありません", "No reading yet"),
    "store_away": (
        "データベースが応答しません。測定値は受信記録に保管され、復旧後に書き込まれます。",
        "The database does not answer. Readings are kept in the arrival journal and written when it is back.",
    ),
    "replay": ("過去の観測記録を{speed}倍速で再生中", "Replaying recordings at {speed}x"),
    "doubtful": ("疑わしい値", "doubtful"),
    "maintenance": ("点検中", "maintenance"),
    "clock": ("時刻未確認", "clock not set"),
    "stale": ("更新なし", "no update"),
    "page_of": ("{page} / {pages} ページ", "page {page} of {pages}"),
    "previous": ("前へ", "Previous"),
    "next": ("次へ", "Next"),
    "as_of": ("{at} 現在", "as of {at}"),
    "away": (
        "接続が切れました。つながり次第、更新を再開します。",
        "Connection lost; updates go on when it is back.",
    ),
    "foot": (
        "速報値です。避難の判断は町と気象庁の情報に従ってください。",
        "Provisional values. For decisions on evacuation follow your town and the Meteorological Agency.",
    ),
    "past": ("過去{span} {low}〜{high}", "last {span}: {low} to {high}"),
}

# UCUM is for machines; people read this.
_UNITS = {
    "1": "",
    "Cel": "°C",
    "deg": "°",
    "m3/s": "m³/s",
    "W/m2": "W/m²",
    "ug/m3": "µg/m³",
    "[ppm]": "ppm",
    "[ppb]": "ppb",
    "dB[SPL]{A}": "dB",
    "dB{mW}": "dBm",
    "uSv/h": "µSv/h",
}
# Decimals that a reader can use; a quantity of coarser resolution gets fewer.
_DIGITS = {"m": 2, "V": 2, "uSv/h": 3}
_STEPS = ((86_400, ("日", "d")), (3600, ("時間", "h")), (60, ("分", "min")), (1, ("秒", "s")))


def text(key: str, lang: Lang, **values: object) -> str:
    """The words of ``key``, with ``values`` put in."""
    return TEXT[key][LANGS.index(lang)].format(**values)


def unit(quantity: Quantity) -> str:
    """The unit as people write it; empty for a bare number."""
    return _UNITS.get(quantity.unit, quantity.unit)


def number(value: float, quantity: Quantity) -> str:
    """A value with as many decimals as its quantity can tell, at most what a reader can use."""
    digits = min(max(0, math.ceil(-math.log10(quantity.resolution))), _DIGITS.get(quantity.unit, 1))
    shown = f"{value:,.{digits}f}"
    return shown.removeprefix("-") if not shown.strip("-0.") else shown


def label(quantity: Quantity, lang: Lang) -> str:
    """The quantity's name as a heading."""
    if lang == "ja":
        return quantity.name_ja
    return quantity.name_en[:1].upper() + quantity.name_en[1:]


def duration(seconds: float, lang: Lang) -> str:
    """One number and one unit: rounded down, so that nothing looks older than it is."""
    for size, names in _STEPS:
        # A minute and a half says more in seconds, a day and a half more in hours.
        if seconds >= size * 2 or size == 1:
            name = names[LANGS.index(lang)]
            return f"{int(max(seconds, 0) // size)}{'' if lang == 'ja' else ' '}{name}"
    raise AssertionError("seconds is the last step")


def age(milliseconds: int, lang: Lang) -> str:
    """How long ago; a time a little ahead of ours is now."""
    spoken = duration(milliseconds / 1000, lang)
    return f"{spoken}前" if lang == "ja" else f"{spoken} ago"


def moment(at: int, lang: Lang, zone: ZoneInfo) -> str:
    """As of which date and time of day in ``zone``."""
    when = datetime.fromtimestamp(at / 1000, zone)
    date = f"{when.month}月{when.day}日" if lang == "ja" else f"{when.day} {when:%b}"
    return text("as_of", lang, at=f"{date} {when:%H:%M:%S}{'' if lang == 'ja' else f' {when:%Z}'}")


def remark(flags: int) -> str | None:
    """The key of what quality control says of a value; the gravest only."""
    if flags & Flag.MAINTENANCE:
        return "maintenance"
    if flags & (Flag.RANGE | Flag.STEP | Flag.STUCK):
        return "doubtful"
    return "clock" if flags & Flag.CLOCK else None
