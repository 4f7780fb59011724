"""Secrets at rest: a text field that is encrypted in the database, and the rotation of its keys."""

import base64
import json
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django import forms
from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Cast
from django.utils.crypto import salted_hmac

from core.errors import Unavailable

if TYPE_CHECKING:
    _TextField = models.TextField[str, str]
else:
    _TextField = models.TextField  # which is generic to the type checker alone


class SealBroken(Unavailable):
    """A stored secret opens with none of the present keys."""

    code = "seal_broken"
    default_detail = "A stored secret cannot be opened: SEALING_KEYS lacks the key that sealed it."


class Secret(str):
    """A text that does not show itself in tracebacks, reprs and shells."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'[sealed]'"


def seal(text: str) -> str:
    """The text encrypted with the newest key."""
    return _fernet().encrypt(text.encode()).decode()


def unseal(token: str) -> Secret:
    """The text that was sealed; raises SealBroken where no key opens it."""
    try:
        return Secret(_fernet().decrypt(token.encode()).decode())
    except InvalidToken:
        raise SealBroken from None


def fingerprint(*texts: str) -> str:
    """A keyed hash, by which it is told whether secrets are the same still, and nothing else of them."""
    return salted_hmac("core.sealed.fingerprint", json.dumps(texts), algorithm="sha256").hexdigest()


def opened(token: str) -> str:
    """What was sealed; empty where no key opens it, for those who only ask whether it is the same still."""
    try:
        return unseal(token) if token else ""
    except SealBroken:
        return ""


_elsewhere: list[Callable[[], int]] = []


def register(reseal: Callable[[], int]) -> None:
    """Say how secrets are sealed anew that stand in no field of ours; called once, from an AppConfig.ready()."""
    if reseal not in _elsewhere:
        _elsewhere.append(reseal)


def anew(token: str) -> str:
    """The same text, sealed with the newest key; raises SealBroken."""
    try:
        return _fernet().rotate(token.encode()).decode()
    except InvalidToken:
        raise SealBroken from None


def rotate() -> int:
    """Seal every secret of every model anew with the newest key; returns how many. Safe in live traffic."""
    return sum(reseal() for reseal in _elsewhere) + sum(
        _rotate_field(model, field)
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, SealedTextField)
    )


class SealedTextField(_TextField):
    """Text that the database only ever sees encrypted; empty stays empty. It cannot be searched."""

    # The admin's read-only view looks a value up among its field's choices: not found there, it is not shown.
    flatchoices = [("", "")]

    def from_db_value(self, value: str | None, expression: object, connection: BaseDatabaseWrapper) -> str | None:
        """The open text of a row."""
        return unseal(value) if value else value

    def get_prep_value(self, value: Any) -> Any:
        """What is stored: the sealed text."""
        value = super().get_prep_value(value)
        return seal(value) if value else value

    def value_from_object(self, obj: models.Model) -> str:
        """Nothing: forms and dumps never carry the secret."""
        return ""

    def value_to_string(self, obj: models.Model) -> str:
        """Nothing, as above."""
        return ""

    def save_form_data(self, instance: models.Model, data: Any) -> None:
        """An empty form field keeps the secret that is there."""
        if data:
            super().save_form_data(instance, data)

    def formfield(self, **kwargs: Any) -> Any:
        """A password input that is never filled in."""
        widget = forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"})
        return super().formfield(**{**kwargs, "widget": widget})


@lru_cache(maxsize=8)
def _multi(secrets: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derive(secret)) for secret in secrets])


def _fernet() -> MultiFernet:
    # The key made from SECRET_KEY stays the last to open, so that setting SEALING_KEYS later loses nothing.
    return _multi((*settings.SEALING_KEYS, settings.SECRET_KEY))


def _derive(secret: str) -> bytes:
    kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"countersign sealed fields")
    return base64.urlsafe_b64encode(kdf.derive(secret.encode()))


def _rotate_field(model: type[models.Model], field: SealedTextField) -> int:
    rows = model._base_manager.annotate(_raw=Cast(field.name, models.TextField())).exclude(_raw="")
    done = 0
    for pk, raw in rows.values_list("pk", "_raw").iterator(chunk_size=500):
        try:
            token = _fernet().rotate(raw.encode()).decode()
        except InvalidToken:
            raise SealBroken(f"{model._meta.label} {pk}: {SealBroken.default_detail}") from None
        sealed = models.Value(token, output_field=models.TextField())
        # Only where nobody wrote a new secret meanwhile.
        done += rows.filter(pk=pk, _raw=raw).update(**{field.name: sealed})
    return done
