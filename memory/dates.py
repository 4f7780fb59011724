"""Days that a question names, and how well a memory's day fits them. Pure functions.

Named days (`3 May 2023`, `May 3`, `2023-05-03`), months and years, and words that count from now (`yesterday`, `two
weeks ago`, `last Friday`). What is told of a day is told on it or soon after, so days after it count too, for less.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, date, datetime, timedelta

FITS, SOON = 1.0, 0.6  # what is on the named day; what is told of it soon after
AFTER_MONTH, IN_YEAR = 0.4, 0.5
MOST = 2_000  # characters of a question that are read

_MONTHS = (
    "january january januar janvier enero gennaio janeiro januari jan",
    "february februar février febrero febbraio fevereiro februari feb",
    "march märz mars marzo março maart mar",
    "april avril abril aprile apr",
    "may mai mayo maggio maio mei",
    "june juni juin junio giugno junho jun",
    "july juli juillet julio luglio julho jul",
    "august août agosto augustus aug",
    "september septembre septiembre settembre setembro sept sep",
    "october oktober octobre octubre ottobre outubro oct okt",
    "november novembre noviembre novembro nov",
    "december dezember décembre diciembre dicembre dezembro dec dez",
)
MONTHS = {name: number for number, names in enumerate(_MONTHS, 1) for name in names.split()}
_AMBIGUOUS = {"may", "march", "mars", "mar", "mei", "jan", "mai"}  # also a verb, a planet or somebody
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBERS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "couple of": 2}
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}

_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_NAMED = re.compile(
    rf"\b(?P<d1>\d{{1,2}})(?:st|nd|rd|th|\.|er)?\s+(?:of\s+|de\s+)?(?P<m1>{_MONTH})\b\.?(?:,?\s+(?:de\s+)?(?P<y1>\d{{4}})\b)?"
    rf"|\b(?P<m2>{_MONTH})\.?\s+(?P<d2>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,?\s+(?P<y2>\d{{4}})\b)?"
    r"|\b(?P<y3>\d{4})-(?P<m3>\d{2})-(?P<d3>\d{2})\b"
    r"|\b(?P<d4>\d{1,2})\.(?P<m4>\d{1,2})\.(?P<y4>\d{4})\b"
    rf"|(?P<near>\b(?:in|of|during|since|by|early|late|mid|im|en|nel|em)\s+)?\b(?P<m5>{_MONTH})\b(?:,?\s+(?P<y5>\d{{4}})\b)?"
    r"|\b(?:in|of|during|since|im jahr|en|nel|em)\s+(?P<y6>(?:19|20)\d{2})\b"
)
_RELATIVE = re.compile(
    r"\b(?P<today>today|tonight|this morning|heute|aujourd'hui|hoy|oggi|hoje|vandaag)\b"
    r"|\b(?P<yesterday>yesterday|last night|gestern|hier soir|ayer|ieri|ontem|gisteren)\b"
    rf"|\b(?P<count>\d{{1,3}}|{'|'.join(_NUMBERS)})\s+(?P<unit>day|week|month|year)s?\s+ago\b"
    rf"|\b(?P<which>last|this|past)\s+(?P<span>week|weekend|month|year|{'|'.join(WEEKDAYS)})\b"
)


@dataclass(frozen=True, slots=True)
class Days:
    """Days that are asked for: `worth` from `first` to `last`, and `later` for up to `tail` days after."""

    first: date
    last: date
    worth: float = FITS
    tail: int = 0
    later: float = 0.0

    def fit(self, day: date) -> float:
        """How well a day fits, from 0 to 1."""
        if self.first <= day <= self.last:
            return self.worth
        return self.later if self.last < day <= self.last + timedelta(self.tail) else 0.0


def asked(question: str, now: datetime) -> list[Days]:
    """The days that a question names; of a day without a year each year's within two of now is taken."""
    text = question[:MOST].lower()
    found = [*_named(text, now.year), *_relative(text, now.date())]
    return [one for one in found if one.last.year < MAXYEAR]  # there is no day after the last one to look up to


def fit(days: Sequence[Days], day: date) -> float:
    """How well a day fits those that are asked for, from 0 to 1."""
    return max((one.fit(day) for one in days), default=0.0)


def _named(text: str, this_year: int) -> Iterator[Days]:
    years = range(this_year - 2, this_year + 1)
    for match in _NAMED.finditer(text):
        found = {name[0]: value for name, value in match.groupdict().items() if value is not None}
        month = MONTHS.get(found.get("m", "")) or int(found.get("m", 0))
        told = [int(found["y"])] if "y" in found else years
        if "d" in found:
            yield from (one for year in told for one in _day(year, month, int(found["d"])))
        elif month and not (found["m"] in _AMBIGUOUS and "y" not in found and "n" not in found):
            yield from (one for year in told for one in _month(year, month))
        elif not month:
            yield Days(date(told[0], 1, 1), date(told[0], 12, 31), IN_YEAR)


def _day(year: int, month: int, day: int) -> Iterator[Days]:
    try:
        named = date(year, month, day)
        yield Days(named - timedelta(1), named + timedelta(2), FITS, 8, SOON)
    except (ValueError, OverflowError):  # no such day
        return


def _month(year: int, month: int) -> Iterator[Days]:
    if 1 <= year < 9998:
        after = date(year + month // 12, month % 12 + 1, 1)
        yield Days(date(year, month, 1), after - timedelta(1), FITS, 15, AFTER_MONTH)


def _relative(text: str, today: date) -> Iterator[Days]:
    for match in _RELATIVE.finditer(text):
        if match["today"]:
            yield Days(today, today)
        elif match["yesterday"]:
            yield Days(today - timedelta(1), today - timedelta(1), FITS, 1, SOON)
        elif match["unit"]:
            yield _ago(today, int(_NUMBERS.get(match["count"]) or match["count"]), _DAYS[match["unit"]])
        else:
            yield _span(today, match["which"], match["span"])


def _ago(today: date, count: int, days: int) -> Days:
    """Around then: the longer ago, the less exactly it is meant."""
    middle, give = today - timedelta(count * days), timedelta(days // 2 + count * days // 10)
    return Days(middle - give, min(middle + give, today))


def _span(today: date, which: str, span: str) -> Days:
    if span in WEEKDAYS:
        back = (today.weekday() - WEEKDAYS.index(span)) % 7 or 7
        day = today - timedelta(back)
        return Days(day, day, FITS, 2, SOON)
    if which == "this":
        days = {"week": today.weekday(), "weekend": 2, "month": today.day - 1, "year": today.timetuple().tm_yday - 1}
        return Days(today - timedelta(days[span]), today, IN_YEAR if span == "year" else FITS)
    days = {"week": 7 + today.weekday(), "weekend": 7, "month": 31 + today.day, "year": 365}
    return Days(today - timedelta(days[span]), today, IN_YEAR if span == "year" else FITS)
