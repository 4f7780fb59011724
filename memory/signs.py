"""Signs of what a text is, whatever it is about: it asks, it names a time, it is about who says it. Pure functions.

A memory's signs are kept among its terms (`#time`), so that recall weighs them without reading the text. They are
looked for in several languages and nothing breaks where they are not found.
"""

import re

MOST = 4_000  # characters of a text that are looked at

ASKS, HALF, ME, TIME, PLACE, NAME = "#asks", "#half", "#me", "#time", "#place", "#name"
ALL = (ASKS, HALF, ME, TIME, PLACE, NAME)

_TIME = re.compile(
    r"\b(?:yesterday|today|tonight|tomorrow|ago|last|next|since|recently|(?:week|month|year)s?|days|weekend|morning"
    r"|night|evening|(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|may|june|july|august"
    r"|september|october|november|december"
    r"|gestern|heute|morgen|vor|letzten?|letztes|nächsten?|woche|monat|jahr|seit|hier|aujourd'hui|demain|dernière?"
    r"|semaine|mois|année|depuis|ayer|hoy|mañana|pasad[ao]|semana|mes|año|desde|ieri|oggi|domani|scors[ao]|settimana"
    r"|mese|anno|ontem|hoje|amanhã|mês|ano|(?:19|20)\d\d)\b",
    re.IGNORECASE,
)
_ME = re.compile(
    r"\b(?:i|i'm|i've|i'd|i'll|my|me|we|we're|we've|our|us|ich|mein\w*|mich|mir|wir|unser\w*|je|j'ai|mon|ma|mes|nous"
    r"|notre|yo|mi|mis|nosotros|io|mio|mia|noi|eu|meu|minha|nós|ik|mijn|wij|я|мой|моя|мы)\b"
    r"|[私我僕俺]|나는|내가|ฉัน|ผม",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\b(?:in|at|to|from|near|nach|aus|bei|à|en|de|a|da|om)\s+(?:the\s+)?[A-Z]\w+")
_NAME = re.compile(r"(?<=[\w,;] )[A-Z][a-z]{2,}|[\"“„«「]")

_ASKS_WHEN = re.compile(
    r"^\s*(?:when|since when|wann|seit wann|quand|cuándo|quando|wanneer|когда)\b"
    r"|\bhow (?:long|many (?:day|week|month|year)s)\b"
    r"|\b(?:what|which) (?:date|day|month|year)\b|いつ|什么时候",
    re.IGNORECASE,
)
_ASKS_WHERE = re.compile(
    r"\b(?:where|city|country|state|places?|town|wo|woher|wohin|stadt|où|dónde|donde|dove|onde|waar|где)\b|どこ|哪里",
    re.IGNORECASE,
)


def of(text: str) -> list[str]:
    """The signs of a text that is remembered."""
    read = text[:MOST].replace("’", "'").strip()
    found = []
    if read.endswith(("?", "？", "؟")):
        found.append(ASKS)
    elif "?" in read or "？" in read:
        found.append(HALF)
    for sign, pattern in ((ME, _ME), (TIME, _TIME), (PLACE, _PLACE), (NAME, _NAME)):
        if pattern.search(read):
            found.append(sign)
    return found


def asks_when(question: str) -> bool:
    """Whether a question wants a time."""
    return bool(_ASKS_WHEN.search(question[:MOST]))


def asks_where(question: str) -> bool:
    """Whether a question wants a place."""
    return bool(_ASKS_WHERE.search(question[:MOST]))
