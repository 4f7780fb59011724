"""The log that lower floors write to: what of it concerns a person's safety is told to that person too."""

from ipaddress import ip_address, ip_network

from django.db.models import QuerySet

from accounts.models import User, Workspace
from accounts.services import login
from approvals.models import SignInPlace
from approvals.preferences import KEY, SIGN_IN
from approvals.services import audit, notices
from approvals.services.notices import Audience
from core import ledger, sealed

NETWORK = {4: 24, 6: 48}  # bits of an address by which a network is known again, for addresses change


def record(*entries: ledger.Entry) -> None:
    """Write to the audit log in the transaction at hand, and tell people what of it concerns their safety.

    Raises what `audit.record` does.
    """
    audit.record(*entries)
    for entry in entries:
        if entry.type == "key.created" and entry.who.kind == "person":
            _tell_of_key(entry)
        elif entry.type == "login.succeeded":
            _tell_of_place(entry)


def _tell_of_key(entry: ledger.Entry) -> None:
    """A person made a key, for themselves or another; what the command line of the server makes is told to nobody."""
    whose = User.objects.filter(email=entry.data["of"])
    named = Workspace.objects.filter(pk=entry.workspace_id).values_list("name", flat=True).first()
    told = {name: entry.data[name] for name in ("name", "kind")}
    told |= {"by": entry.who.label, "workspace": named, "ip": ledger.origin().get("ip"), "password": _typed(whose)}
    notices.tell(entry.workspace_id, "key.created", told, Audience(KEY, whose))


def _tell_of_place(entry: ledger.Entry) -> None:
    """A sign-in from a network that is new for the person; their first one is told to nobody."""
    ip, user_id = ledger.origin().get("ip", ""), entry.who.id
    place = _place(ip)
    if not place or user_id is None:
        return
    known = SignInPlace.objects.filter(user_id=user_id)
    if known.filter(place=place).exists():
        return
    first = not known.exists()
    SignInPlace.objects.bulk_create([SignInPlace(user_id=user_id, place=place)], ignore_conflicts=True)
    if not first:
        whose = User.objects.filter(pk=user_id)
        told = {"ip": ip, "via": entry.data.get("via"), "password": _typed(whose)}
        notices.tell(entry.workspace_id, "login.new_place", told, Audience(SIGN_IN, whose))


def _typed(whose: QuerySet[User]) -> bool:
    """Whether the person has a password here that they could change."""
    user = whose.first()
    return bool(user and user.has_usable_password() and login.may_use_password(user))


def _place(ip: str) -> str:
    """The network of an address as a keyed hash; empty for what is no address."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ""
    return sealed.fingerprint("place", str(ip_network(f"{address}/{NETWORK[address.version]}", strict=False)))
