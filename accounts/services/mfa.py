"""The second factor: who has one, who must have one, and the code that proves it. Pages for it are django-allauth's."""

from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa import app_settings as allauth_mfa
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.cache import cache
from django.db import transaction

from accounts import limits
from accounts.models import Actor, Membership, User
from accounts.services import letters, people
from core import sealed
from core.errors import Forbidden, RateLimited, Unauthorized

Type = Authenticator.Type
SEALED = ("secret", "seed")
"""What of an authenticator's data is sealed: an app's secret, the seed of recovery codes."""
FACTORS = (Type.TOTP, Type.WEBAUTHN)
"""What is asked for at sign-in; recovery codes stand in for them."""
USED = "This code was used already. Wait for the next one."
TRIES, WINDOW_MS = 5, 300_000  # of one person's codes, which are short


class MfaRequired(Unauthorized):
    """The password was right, and the account has a second factor that was not shown."""

    code = "mfa_required"
    default_detail = "Send the code of your authenticator app, or a recovery code, as `code`."


class MfaSetupRequired(Forbidden):
    """The workspace asks for a second factor, and the person has none."""

    code = "mfa_setup_required"
    default_detail = "This workspace requires two-factor sign-in: set it up at /account/2fa/ first."


class NoSecondFactor(Forbidden):
    """There is nothing to remove."""

    code = "no_second_factor"
    default_detail = "This person has no second factor."


def enabled(user: User) -> bool:
    """Whether the person has a second factor."""
    return bool(Authenticator.objects.filter(user=user, type__in=FACTORS).exists())


def factors(user: User) -> list[str]:
    """What the person has, as words."""
    held = Authenticator.objects.filter(user=user).order_by("type").values_list("type", flat=True)
    return [str(Type(one).label) for one in dict.fromkeys(held)]


def lacking(user: User) -> bool:
    """Whether any of the person's workspaces asks for a second factor that they do not have."""
    return Membership.objects.filter(user=user, workspace__require_mfa=True).exists() and not enabled(user)


def withheld(actor: Actor) -> bool:
    """Whether the workspace at hand asks for a second factor that the caller does not have."""
    return actor.workspace.require_mfa and not enabled(actor.user)


def proven_by(user: User, code: str) -> Authenticator | None:
    """What the code is of, the person's app or their recovery codes; None where of neither, or used before.

    It is used up by that. Raises RateLimited after too many wrong ones, and Unavailable where they cannot be counted.
    """
    verdict = limits.hit("code", limit=TRIES, who=str(user.pk), fail_closed=True, window_ms=WINDOW_MS)
    if not verdict.allowed:
        raise RateLimited(f"Too many codes. Try again in {verdict.reset} seconds.", headers=verdict.headers)
    for held in Authenticator.objects.filter(user=user).exclude(type=Type.WEBAUTHN):
        if held.wrap().validate_code(code) and (held.type != Type.TOTP or use_up(user, code)):
            limits.forget("code", who=str(user.pk))
            held.record_usage()
            if held.type == Type.RECOVERY_CODES:
                recovery_code_used(user)
            return held
    return None


def use_up(user: User, code: str) -> bool:
    """Mark a code of the person's app as used for as long as it could be shown again; whether it was not before."""
    # django-allauth marks it too, for half a minute; clocks that are off make that longer.
    lasts = allauth_mfa.TOTP_PERIOD * (2 * allauth_mfa.TOTP_TOLERANCE + 1)
    return bool(cache.add(_used(user, code), 1, timeout=lasts))


def was_used(user: User, code: str) -> bool:
    """Whether the code is one of the person's app that was taken a moment ago: the next one has to be waited for."""
    return cache.get(_used(user, code)) is not None


def _used(user: User, code: str) -> str:
    return f"totp:{user.pk}:{normalize_user_code(code)}"


def reseal() -> int:
    """Seal the secrets of second factors anew with the newest key; returns how many. Raises SealBroken."""
    done = 0
    for pk in Authenticator.objects.exclude(type=Type.WEBAUTHN).values_list("pk", flat=True):
        with transaction.atomic():
            held = Authenticator.objects.select_for_update().filter(pk=pk).first()
            name = next((name for name in SEALED if held is not None and name in held.data), None)
            if held is not None and name is not None:
                held.data[name] = sealed.anew(held.data[name])
                held.save(update_fields=["data"])
                done += 1
    return done


def recovery_code_used(user: User) -> None:
    """Tell the log and the person that a recovery code took the place of their second factor."""
    with transaction.atomic():
        people.tell("mfa.recovery_code_used", user, user)
        text = "A recovery code was used to sign in to your account.\n\nIf that was not you, tell an admin at once."
        letters.write(user.email, f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}A recovery code was used", text)


@transaction.atomic
def remove(user: User, *, by: User) -> None:
    """Take all second factors from a person who lost theirs, and tell them; raises NoSecondFactor."""
    gone = factors(user)
    if not gone:
        raise NoSecondFactor
    drop(user)
    people.tell("mfa.removed", user, by, factors=gone)
    text = (
        f"{by.email} removed the two-factor sign-in of your account, so that you can set it up anew.\n\n"
        "If you did not ask for that, tell another admin at once."
    )
    letters.write(user.email, f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}Two-factor sign-in was removed", text)


@transaction.atomic
def disown(user: User) -> None:
    """Take from an account the second factors that somebody else may have set up, and tell its person."""
    gone = factors(user)
    if not gone:
        return
    drop(user)
    people.tell("mfa.removed", user, None, factors=gone)
    text = (
        "You signed in at the identity provider for the first time. The two-factor sign-in and the passkeys that your "
        "account had before were removed, since somebody else may have set them up. If they were yours, set them up "
        "anew."
    )
    letters.write(user.email, f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}Two-factor sign-in was removed", text)


def drop(user: User) -> None:
    """Delete the person's second factors, and tell nobody."""
    held = Authenticator.objects.filter(user=user)
    held._raw_delete(held.db)  # without the signals of rows, by which it would be told as the person's own doing
