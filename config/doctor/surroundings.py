"""What stands around the programs: settings, files, disk, mail."""

import os
import shutil
import smtplib
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks, mail
from django.core.checks import messages

from config import env, prepared
from config.doctor import Finding, Wanted, bad, ok, warn

LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "[::1]", ""})
NEEDS_HTTPS = frozenset({"security.W004", "security.W008", "security.W012", "security.W016"})
SECRETS = ("secret_key", "audit_key", "demo.json", "restored_keys.json")
SCARCE, FULL = 5_000_000_000, 1_000_000_000  # bytes that are free


def is_local() -> bool:
    """Whether people reach this installation from its own machine alone, by all that the settings say."""
    return {urlsplit(settings.PUBLIC_URL).hostname or "", env.text("HOST"), *_named()} <= LOCAL


def address() -> str:
    """Where people reach this installation: PUBLIC_URL, or what `make up` wrote down; empty where neither is known."""
    if env.text("PUBLIC_URL"):
        return str(settings.PUBLIC_URL)
    return prepared.address(settings.DATA_DIR)


def check_settings(wanted: Wanted) -> Iterator[Finding]:
    """Django's own checks, those for deployment too, as far as they apply to this machine."""
    part, found = "settings", 0
    for message in checks.run_checks(include_deployment_checks=True):
        about_code = str(message.id).startswith("drf_spectacular.")  # the schema is its developers' to mend
        if message.is_silenced() or about_code or (is_local() and message.id in NEEDS_HTTPS):
            continue
        found += 1
        text, todo = " ".join(str(message.msg).split()), str(message.hint or f"See {message.id} in Django's checks.")
        yield (bad if message.level >= messages.ERROR else warn)(part, text, todo)
    if not found:
        yield ok(part, "Django's checks find nothing" + (", those about HTTPS left out" if is_local() else ""))


def check_address(wanted: Wanted) -> Iterator[Finding]:
    """Whether the address that people use fits what is answered."""
    part, url = "address", urlsplit(settings.PUBLIC_URL)
    host = url.hostname or ""
    if not env.text("PUBLIC_URL"):
        known = f"; make up answered at {address()}" if address() else ""
        text = f"PUBLIC_URL is not set here, so that it is not known who reaches this installation, and how{known}"
        yield warn(part, text, "Set it as the processes have it, and look again: links in letters lead there.")
        return
    if is_local():
        yield ok(part, f"{settings.PUBLIC_URL}: for people at this machine")
        return
    trouble = False
    if host in LOCAL:
        trouble = True
        todo = "Set PUBLIC_URL to the address that people use, or let HOST and ALLOWED_HOSTS be of this machine alone."
        yield bad(part, f"{settings.PUBLIC_URL} is for this machine, and others are answered too", todo)
    elif not _is_allowed(host):
        trouble = True
        yield bad(part, f"{host} of PUBLIC_URL is refused", f"Add it: ALLOWED_HOSTS={','.join([*_named(), host])}")
    if "*" in settings.ALLOWED_HOSTS:
        trouble = True
        yield warn(part, "every host name is answered", f"Name yours: ALLOWED_HOSTS={host}")
    if url.scheme != "https" or not settings.HTTPS:
        trouble = True
        todo = f"Put a proxy with TLS before it, then set PUBLIC_URL=https://{host} and HTTPS=1."
        yield bad(part, "keys and passwords travel unencrypted", todo)
    elif not env.text("FORWARDED_ALLOW_IPS"):
        trouble = True
        todo = "Set FORWARDED_ALLOW_IPS to the proxy's address, for limits and the audit log name the caller's."
        yield warn(part, "the proxy is not believed who calls: all come from its address", todo)
    if (settings.DATA_DIR / "demo.json").is_file():
        trouble = True
        yield bad(part, "the demo's accounts open a public installation", "Delete them at /admin/, then demo.json.")
    if not trouble:
        yield ok(part, f"{settings.PUBLIC_URL}, over HTTPS")


def check_mail(wanted: Wanted) -> Iterator[Finding]:
    """Whether letters leave this machine."""
    part = "e-mail"
    if not settings.EMAIL_HOST:
        yield warn(
            part,
            "no server: notices are printed into the worker's log, letters about accounts dropped",
            "Set EMAIL_HOST and what it asks for.",
        )
        return
    where = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    connection = mail.get_connection()
    try:
        connection.open()
        connection.close()
    except (OSError, smtplib.SMTPException) as error:
        yield bad(part, f"{where}: {error}", "Mend EMAIL_HOST, EMAIL_PORT, EMAIL_HOST_USER, EMAIL_USE_TLS or _SSL.")
        return
    yield ok(part, f"{where} takes letters from {settings.DEFAULT_FROM_EMAIL}")


def check_files(wanted: Wanted) -> Iterator[Finding]:
    """The data directory, the secrets in it, static files, the space that is left."""
    if not settings.DATA_DIR.is_dir():
        todo = "Set DATA_DIR as the processes have it, or start them: they make it. What is in it was not looked at."
        yield bad("files", f"{settings.DATA_DIR} is not there", todo)
        return
    yield from _folder()
    yield from _static()
    yield from _disk()


def _folder() -> Iterator[Finding]:
    part, folder = "files", settings.DATA_DIR
    trouble = False
    if not os.access(folder, os.W_OK | os.X_OK):
        trouble = True
        yield bad(part, f"{folder} cannot be written to", "Give it to the user who runs Countersign.")
    elif _open(folder):
        trouble = True
        yield warn(part, f"others of this machine can look into {folder}", f"chmod 700 {folder}")
    for name in SECRETS:
        if (folder / name).is_file() and _open(folder / name):
            trouble = True
            yield bad(part, f"others of this machine can read {folder / name}", f"chmod 600 {folder / name}")
    if not trouble:
        yield ok(part, f"{folder} is its user's alone")


def _static() -> Iterator[Finding]:
    stamp, todo = Path(settings.STATIC_ROOT) / ".collected", "manage.py prepare"
    if not (Path(settings.STATIC_ROOT) / "staticfiles.json").is_file():
        yield bad("static", "static files are not collected: pages have no looks", todo)
    elif stamp.is_file() and stamp.read_text() != prepared.static_state():
        yield warn("static", "static files are those of another version", todo)
    else:
        yield ok("static", "static files are collected")


def _disk() -> Iterator[Finding]:
    space = shutil.disk_usage(settings.DATA_DIR)
    text = f"{space.free / 1e9:,.1f} GB of {space.total / 1e9:,.1f} GB are free where {settings.DATA_DIR} is"
    if space.free < FULL:
        yield bad("disk", text, "Make room now: PostgreSQL stops when there is none.")
    elif space.free < SCARCE:
        yield warn("disk", text, "Make room soon.")
    else:
        yield ok("disk", text)


def _open(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _named() -> list[str]:
    return [str(name) for name in settings.ALLOWED_HOSTS]


def _is_allowed(host: str) -> bool:
    return any(name in ("*", host) or (name.startswith(".") and f".{host}".endswith(name)) for name in _named())
