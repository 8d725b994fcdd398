"""The live page as HTML: complete without JavaScript, and nothing in it comes from elsewhere.

Every name and value passes ``escape``; styles and script are constants, known to the browser by their hash.
"""

import base64
import hashlib
from datetime import datetime
from html import escape
from importlib.resources import files
from zoneinfo import ZoneInfo

from cloud.portal import words
from cloud.portal.spark import HEIGHT, WIDTH
from cloud.portal.view import PARTS, Community, Meter, Row, Station, View
from cloud.portal.words import Lang, text

STYLE = files("cloud.portal").joinpath("live.css").read_text("utf-8")
SCRIPT = files("cloud.portal").joinpath("live.js").read_text("utf-8")
RELOAD_S = 5


def _hash(source: str) -> str:
    return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


POLICY = (
    f"default-src 'none'; style-src 'sha256-{_hash(STYLE)}'; script-src 'sha256-{_hash(SCRIPT)}'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_TOWER = (
    '<svg class="tower" viewBox="0 0 32 32" aria-hidden="true"><path d="M16 2 25 8H7zM9 9.5h14V15H9zM11 16.5h10l4 '
    '13.5h-3.2l-.9-3.3H11.1l-.9 3.3H7zm1.7 2-.7 2.6h8l-.7-2.6zm-1.3 4.7-.7 2.5h10.6l-.7-2.5z"/></svg>'
)
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Cpath fill='%23b8402a' "
    "d='M16 2 25 8H7zM9 9.5h14V15H9zM11 16.5h10l4 13.5h-3.2l-.9-3.3H11.1l-.9 3.3H7z'/%3E%3C/svg%3E"
)


def page(view: View, lang: Lang, zone: ZoneInfo) -> str:
    """The whole document."""
    title = escape(text("title", lang))
    return f"""<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="{_ICON}">
<noscript><meta http-equiv="refresh" content="{RELOAD_S}"></noscript>
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#stations">{escape(text("skip", lang))}</a>
{_header(view, lang, zone)}
<p class="banner" id="away" role="alert" hidden>{escape(text("away", lang))}</p>
<main id="live" data-layout="{view.layout}" data-page="{view.page}" data-lang="{lang}">
{main(view, lang, zone)}
</main>
<footer>{escape(text("foot", lang))}</footer>
<script>{SCRIPT}</script>
</body>
</html>
"""


def main(view: View, lang: Lang, zone: ZoneInfo) -> str:
    """What changes when stations come and go."""
    banner = f'<p class="banner" role="alert">{escape(text("store_away", lang))}</p>' if view.store_away else ""
    several = len(view.communities) > 1
    communities = "".join(_community(one, lang, zone, several=several) for one in view.communities)
    return f"""{banner}
<section class="total" aria-labelledby="meter">
<h2 id="meter">{escape(text("meter", lang))}</h2>
{_meter(view.total, "", lang, explained=True)}
</section>
<section id="stations" aria-label="{escape(text("stations", lang))}">{communities}</section>
{_pages(view, lang)}"""


def _header(view: View, lang: Lang, zone: ZoneInfo) -> str:
    other = "en" if lang == "ja" else "ja"
    replay = ""
    if view.speed != 1:
        replay = f'<p class="replay">{escape(text("replay", lang, speed=f"{view.speed:g}"))}</p>'
    return f"""<header>
<h1>{_TOWER}<span>{escape(text("brand", lang))}</span> <small>{escape(text("tagline", lang))}</small></h1>
{replay}
<p class="clock" id="now">{escape(words.moment(view.now, lang, zone))}</p>
<nav><a href="?lang={other}" hreflang="{other}" lang="{other}">{escape(text("other", lang))}</a></nav>
</header>"""


def verdict(meter: Meter, lang: Lang) -> tuple[str, str]:
    """Class and words of what the meter says."""
    if not meter.is_sound:
        return "bad", text("bad", lang)
    return ("fine", text("fine", lang)) if meter.accepted else ("empty", text("empty", lang))


def _meter(meter: Meter, name: str, lang: Lang, *, explained: bool) -> str:
    mood, said = verdict(meter, lang)
    sign = {"fine": "✓", "bad": "!", "empty": "…"}[mood]
    cells = "".join(_cell(meter, part, lang, explained=explained) for part in ("accepted", *PARTS))
    return f"""<div class="meter {mood}" data-meter="{escape(name)}">
<p class="verdict" role="status">\
<span class="sign" aria-hidden="true">{sign}</span><span data-said>{escape(said)}</span></p>
{bar(meter)}
<dl>{cells}</dl>
</div>"""


def _cell(meter: Meter, part: str, lang: Lang, *, explained: bool) -> str:
    hint = f"<small>{escape(text(f'{part}_is', lang))}</small>" if explained else ""
    return (
        f'<div class="{part}"><dt>{escape(text(part, lang))}{hint}</dt>'
        f'<dd data-part="{part}">{getattr(meter, part):,}</dd></div>'
    )


def bar(meter: Meter) -> str:
    """The parts side by side; what is there at all is wide enough to be seen."""
    shares = widths(meter)
    rects, left = [], 0.0
    for part, share in shares.items():
        rects.append(f'<rect class="{part}" data-bar="{part}" x="{left:.2f}" width="{share:.2f}" height="10"/>')
        left += share
    inside = "".join(rects)
    return f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{inside}</svg>'


def widths(meter: Meter) -> dict[str, float]:
    """Hundredths of the bar; a part that is not nothing gets at least one."""
    amounts = {part: abs(getattr(meter, part)) for part in PARTS}
    total = sum(amounts.values())
    if not total:
        return dict.fromkeys(PARTS, 0.0)
    raw = {part: max(100 * amount / total, 1.0) if amount else 0.0 for part, amount in amounts.items()}
    scale = 100 / sum(raw.values())
    return {part: share * scale for part, share in raw.items()}


def _community(community: Community, lang: Lang, zone: ZoneInfo, *, several: bool) -> str:
    own = _meter(community.meter, community.name, lang, explained=False) if several else ""
    cards = "".join(_station(one, lang, zone) for one in community.stations)
    empty = "" if cards or several else f'<p class="nothing">{escape(text("no_data", lang))}</p>'
    return f"""<section class="community">
<h2>{escape(community.name)}</h2>
{own}
<div class="cards">{cards}</div>{empty}
</section>"""


def state(station: Station, lang: Lang) -> tuple[str, str]:
    """Class and words of a station's connection."""
    key = {True: "online", False: "offline", None: "unknown"}[station.online]
    return key, text(key, lang)


def _station(station: Station, lang: Lang, zone: ZoneInfo) -> str:
    mood, said = state(station, lang)
    romaji, own = station.romaji, station.id.station
    name, aside = (station.name or romaji, own) if lang == "ja" else (romaji or station.name, station.name or own)
    name = name or own
    small = f" <small>{escape(aside)}</small>" if aside != name else ""
    rows = "".join(_row(row, lang, zone) for row in station.rows)
    body = f"<ul>{rows}</ul>" if rows else f'<p class="nothing">{escape(text("no_data", lang))}</p>'
    return f"""<article class="card" data-station="{escape(str(station.id))}">
<h3><span>{escape(name)}{small}</span>
<span class="state {mood}"><i aria-hidden="true"></i><span>{escape(said)}</span></span></h3>
{body}
</article>"""


def row_words(row: Row, lang: Lang) -> dict[str, str]:
    """The words of one row, as the page and its script both put them."""
    past = ""
    if row.spark.low is not None and row.spark.high is not None:
        low, high = (words.number(value, row.quantity) for value in (row.spark.low, row.spark.high))
        past = text("past", lang, span=words.duration(row.span_s, lang), low=low, high=high)
    remark = words.remark(row.newest.flags)
    return {
        "value": words.number(row.newest.value, row.quantity),
        "age": words.age(row.age_ms, lang),
        "stale": text("stale", lang) if row.stale else "",
        "remark": text(remark, lang) if remark else "",
        "past": past,
    }


def _row(row: Row, lang: Lang, zone: ZoneInfo) -> str:
    said = {key: escape(one) for key, one in row_words(row, lang).items()}
    unit = words.unit(row.quantity)
    key = escape(f"{row.datastream.sensor}/{row.datastream.quantity}")
    bars = "bars" if row.quantity.aggregate == "sum" else ""
    at = datetime.fromtimestamp(row.newest.measured_at / 1000, zone).isoformat(timespec="seconds")
    return f"""<li class="row{" old" if row.stale else ""}" data-row="{key}">
<span class="what">{escape(words.label(row.quantity, lang))} <small>{escape(row.datastream.sensor)}</small></span>
<span class="value"><b data-is="value">{said["value"]}</b>{f" <abbr>{escape(unit)}</abbr>" if unit else ""}</span>
<svg class="spark {bars}" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" \
aria-label="{said["past"]}"><path class="area" d="{row.spark.area}"/>\
<path class="line" d="{row.spark.line}"/><path class="dot" d="{row.spark.dot}"/></svg>
<span class="past" aria-hidden="true" data-is="past">{said["past"]}</span>
<span class="age"><time datetime="{at}" data-is="age">{said["age"]}</time>\
<em data-is="stale">{said["stale"]}</em><em class="remark" data-is="remark">{said["remark"]}</em></span>
</li>"""


def _pages(view: View, lang: Lang) -> str:
    if view.pages == 1:
        return ""
    where = escape(text("page_of", lang, page=view.page, pages=view.pages))
    back = _to_page(view.page - 1, "previous", lang) if view.page > 1 else ""
    on = _to_page(view.page + 1, "next", lang) if view.page < view.pages else ""
    return f'<nav class="pages">{back}<span>{where}</span>{on}</nav>'


def _to_page(number: int, key: str, lang: Lang) -> str:
    return f'<a href="?lang={lang}&amp;page={number}">{escape(text(key, lang))}</a>'
