"""How processes connect to their servers: whom they believe, and for how long they try."""

import json
import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import connection

from core import embedded_home

PROGRAM = """
import json, config.settings as shipped
from config.celery import app
broker = app.connection_for_write().ssl
print(json.dumps([broker and int(broker.get("ssl_cert_reqs", 2)), shipped.DATABASES["default"]["OPTIONS"]]))
"""


def told(**environ: str):
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", **environ}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, cwd=settings.BASE_DIR, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("query", ["", "?ssl_ca_certs=/etc/ca.pem"])
def test_a_broker_by_tls_must_have_a_certificate_that_holds(query):
    broker, _ = told(REDIS_URL=f"rediss://:secret@valkey.example:6379/0{query}")
    assert broker == 2, "which is ssl.CERT_REQUIRED"


def test_the_shell_of_the_database_finds_the_folder_of_its_socket():
    argv, env = connection.client.settings_to_cmd_args_env(connection.settings_dict, ["-Atc", "SELECT current_user"])
    (folder,) = embedded_home.clients()
    psql = [f"{folder}/{argv[0]}", *argv[1:]]
    done = subprocess.run(psql, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False)
    assert done.stdout == "countersign\n", done.stderr


def test_a_database_that_takes_no_connection_is_not_waited_for_long():
    _, options = told(REDIS_URL="redis://127.0.0.1:6379/0", DATABASE_URL="postgresql://a@b/c")
    assert options["connect_timeout"] == 5
    _, options = told(REDIS_URL="redis://127.0.0.1:6379/0", DATABASE_URL="postgresql://a@b/c?connect_timeout=9")
    assert int(options["connect_timeout"]) == 9
