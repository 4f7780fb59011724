"""Secrets at rest: unreadable in the database, unseen in forms, and sealed anew when keys change."""

from io import StringIO

import pytest
from django.contrib.admin.utils import display_for_field
from django.core import serializers
from django.core.management import call_command
from django.db import connection
from django.forms import modelform_factory

from agents.models import Provider
from core import sealed

SECRET = "sk-canary-secret"


@pytest.fixture
def provider(workspace):
    return Provider.objects.create(workspace=workspace, name="openai", api_key=SECRET)


def stored() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT api_key FROM agents_provider")
        return cursor.fetchone()[0]


def test_the_database_sees_no_secret_and_the_program_does(provider):
    assert SECRET not in stored()
    assert Provider.objects.get().api_key == SECRET
    first = stored()
    provider.save()
    assert stored() != first  # no two seals are alike


def test_an_empty_secret_stays_empty(workspace):
    Provider.objects.create(workspace=workspace, name="none")
    assert stored() == ""
    assert Provider.objects.get().api_key == ""


def test_a_secret_does_not_show_itself(provider):
    found = Provider.objects.get()
    assert SECRET not in repr(found.api_key)
    assert SECRET not in repr(found.__dict__)
    assert display_for_field(found.api_key, Provider._meta.get_field("api_key"), "-") == "-"
    assert SECRET not in serializers.serialize("json", [found])


def test_a_form_shows_no_secret_and_keeps_it_when_left_empty(provider):
    form_class = modelform_factory(Provider, fields=["api_key"])
    found = Provider.objects.get()
    assert SECRET not in form_class(instance=found).as_p()
    form_class({"api_key": ""}, instance=found).save()
    assert Provider.objects.get().api_key == SECRET
    form_class({"api_key": "another"}, instance=found).save()
    assert Provider.objects.get().api_key == "another"


def test_rotation_seals_anew_and_the_old_key_can_go(provider, settings):
    settings.SEALING_KEYS = ["new key"]
    assert Provider.objects.get().api_key == SECRET  # what SECRET_KEY sealed still opens
    call_command("reseal", stdout=(told := StringIO()))
    assert told.getvalue() == "1 secrets sealed anew.\n"
    settings.SECRET_KEY = "an altogether different secret key, long enough for a check"
    assert Provider.objects.get().api_key == SECRET
    settings.SEALING_KEYS = ["a wrong key"]
    with pytest.raises(sealed.SealBroken):
        Provider.objects.get()
    with pytest.raises(sealed.SealBroken, match="agents.Provider"):
        sealed.rotate()
