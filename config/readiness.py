"""Whether a web process can do its work: what it needs answers, and the database is as this version wants it."""

import asyncio
import pkgutil
from importlib import import_module

import psycopg
from django.apps import apps
from django.db.migrations.loader import MigrationLoader

from config import beside

OK, AWAY, SLOW, PENDING, UNKNOWN = "ok", "away", "slow", "pending", "unknown"
SECONDS = 1.0
_APPLIED = "SELECT app, name FROM django_migrations"

Migration = tuple[str, str]


class Readiness:
    """Looks at each part. Migrations that were found once are believed to stay."""

    def __init__(self) -> None:
        self._wanted: frozenset[Migration] | None = None
        self._migrated = False

    async def look(self) -> dict[str, str]:
        """How each part is."""
        (postgres, migrations), valkey = await asyncio.gather(self._postgres(), self._valkey())
        return {"postgres": postgres, "valkey": valkey, "migrations": migrations}

    async def _postgres(self) -> tuple[str, str]:
        try:
            if self._migrated:
                await beside.postgres("SELECT 1", seconds=SECONDS)
                return OK, OK
            [applied] = await beside.postgres(_APPLIED, seconds=SECONDS)
        except psycopg.errors.UndefinedTable:
            return OK, PENDING
        except beside.AWAY as error:
            return _why(error), OK if self._migrated else UNKNOWN
        if self._wanted is None:
            self._wanted = await asyncio.to_thread(wanted)
        self._migrated = self._wanted <= {*applied}
        return OK, OK if self._migrated else PENDING

    async def _valkey(self) -> str:
        try:
            async with beside.valkeys(SECONDS) as client:
                await client.ping()
        except beside.AWAY as error:
            return _why(error)
        return OK


def wanted() -> frozenset[Migration]:
    """The migrations that this version has, by their files: to load them takes longer, and is of no use here."""
    found: set[Migration] = set()
    for app in apps.get_app_configs():
        module, explicit = MigrationLoader.migrations_module(app.label)
        try:
            package = import_module(module) if module else None
        except ModuleNotFoundError:
            if explicit:
                raise
            continue
        for _, name, is_package in pkgutil.iter_modules(getattr(package, "__path__", ())):
            if not is_package and name[0] not in "_~":
                found.add((app.label, name))
    return frozenset(found)


def _why(error: Exception) -> str:
    return SLOW if isinstance(error, TimeoutError) else AWAY
