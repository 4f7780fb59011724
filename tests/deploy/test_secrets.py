"""The secrets that `deploy/make-secrets` makes."""

import stat
import subprocess

from tests.deploy import containers
from tests.deploy.containers import DEPLOY, DOMAIN


def test_secrets_are_made_once_and_each_is_another(tmp_path):
    def made() -> dict[str, str]:
        subprocess.run([DEPLOY / "make-secrets", tmp_path / "secrets"], check=True)
        return {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}

    first = made()
    assert set(first) == set(containers.compose({"DOMAIN": DOMAIN})["secrets"])
    assert len(set(first.values())) == len(first)
    assert made() == first
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_no_password_is_on_the_command_line_of_a_health_check():
    test = containers.compose({"DOMAIN": DOMAIN})["services"]["valkey"]["healthcheck"]["test"]
    conf = "requirepass s3cret\n"
    said = subprocess.run(
        ["sh", "-c", test[1].replace("/run/secrets/valkey_conf", "/dev/stdin").replace("valkey-cli", "cat >&2")],
        input=conf, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.stderr == "AUTH s3cret\nPING\n"
