"""The compose file, run for real: its commands, variables, secrets and checks, by processes instead of containers."""

import json
import re

import httpx
import psycopg
import pytest

from chat.models import ActionState
from tests.deploy import containers
from tests.deploy.containers import DEPLOY, DOMAIN, Machine
from tests.servers.stack import eventually, free_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
WORKERS = ("worker-runs", "worker-actions", "worker-background")


class Compose:
    """The services on a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        # What the operator writes into .env: the example, and the offline provider on.
        self.env_file = containers.variables(DEPLOY / ".env.example") | {"DOMAIN": DOMAIN, "REHEARSAL": "1"}
        self.services = containers.compose(self.env_file)["services"]
        self.urls: list[str] = []

    def environment(self, service: str, replica: str = "", **more: str) -> dict[str, str]:
        assert self.services[service]["env_file"] == ".env"
        given = self.services[service]["environment"]
        return self.machine.environment(replica or service, self.env_file, given, more)

    def run(self, service: str, *words: str):
        """`docker compose run --rm SERVICE WORD…`, by default the service's own command."""
        return self.machine.run(service, list(words) or self.services[service]["command"], self.environment(service))

    def start(self, service: str, replica: str = "", **more: str) -> None:
        name = replica or service
        self.machine.start(name, self.services[service]["command"], self.environment(service, name, **more))

    def start_web(self) -> None:
        port = free_port()
        self.start("web", f"web{len(self.urls) + 1}", PORT=str(port))
        self.urls.append(f"http://127.0.0.1:{port}")

    def healthy(self, service: str, replica: str = "", **more: str) -> bool:
        """What the health check says, the service's own or the image's."""
        check = self.services[service].get("healthcheck")
        words = check["test"][1:] if check else json.loads(containers.image()["HEALTHCHECK"][""].split("CMD")[1])
        environ = self.environment(service, replica, **more)
        return self.machine.run(replica or service, words, environ).returncode == 0

    def http(self, web: int = 0, token: str = "") -> httpx.Client:
        """A client as the proxy in front is one."""
        said = {"Host": DOMAIN, "X-Forwarded-Proto": "https", **({"Authorization": f"Bearer {token}"} if token else {})}
        return httpx.Client(base_url=self.urls[web], headers=said, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def up():
    with containers.machine() as machine:
        one = Compose(machine)
        done = one.run("migrate")
        assert done.returncode == 0, done.stdout + done.stderr
        static = machine.environment("build", {"SECRET_KEY": "unused"})
        done = machine.run("build", ["python", "manage.py", "collectstatic", "--no-input", "--verbosity", "0"], static)
        assert done.returncode == 0, done.stderr
        done = one.run("migrate", "python", "manage.py", "demo")
        assert done.returncode == 0, done.stderr
        for service in (*WORKERS, "scheduler"):
            one.start(service)
        for _ in range(one.services["web"]["deploy"]["replicas"]):
            one.start_web()
        for number, url in enumerate(one.urls, 1):
            port = url.rpartition(":")[2]
            healthy = lambda name=f"web{number}", port=port: one.healthy("web", name, PORT=port)  # noqa: E731
            machine.until(f"web{number}", healthy, "is healthy")
        for service in WORKERS:
            machine.until(service, lambda service=service: one.healthy(service), "is healthy")
        yield one


@pytest.fixture(scope="module")
def demo(up) -> dict:
    return json.loads((up.machine.folder / "data" / "demo.json").read_text())


@pytest.fixture(scope="module")
def member(up, demo):
    with up.http(0, demo["keys"]["secret"]) as client:
        yield client


def test_every_web_process_is_ready_and_gives_the_static_files_of_the_image(up):
    for number in range(len(up.urls)):
        with up.http(number) as client:
            assert client.get("/readyz").status_code == 200
            page = client.get("/admin/login/", follow_redirects=True)
            assert page.status_code == 200
            styles = re.findall(r'href="([^"]+\.css)"', page.text)
            assert styles
            assert all(client.get(style).status_code == 200 for style in styles)


def test_a_message_is_answered_by_a_worker_for_runs(up, member):
    answer = member.post("/v1/ai/chat", json={"message": "Hello", "companion": "smart-home"})
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    [(worker,)] = up.machine.sql("SELECT worker FROM chat_run WHERE id = %s", answer.json()["run_id"])
    assert worker.endswith(f":{up.machine.children['worker-runs'].pid}")


def test_what_is_approved_at_one_web_process_is_done_by_a_worker_for_actions_and_answered(up, demo, member):
    asked = member.post("/v1/ai/chat", json={"message": "Please restart the web service", "companion": "devops"}).json()
    login = {name: demo["users"]["manager"][name] for name in ("email", "password")}
    with up.http(-1) as manager:
        token = manager.post("/v1/auth/login", json=login).json()["access"]
        manager.headers["Authorization"] = f"Bearer {token}"
        decided = manager.post(f"/v1/ai/approvals/{asked['approvals'][0]}", json={"decision": "approve"})
        assert decided.status_code == 200, decided.text

    def ended() -> bool:
        return member.get(f"/v1/ai/runs/{asked['run_id']}").json()["status"] == "completed"

    eventually(ended, "the run goes on and ends")
    [(state, worker)] = up.machine.sql("SELECT state, worker FROM chat_action WHERE run_id = %s", asked["run_id"])
    assert state == ActionState.SUCCEEDED
    assert worker.endswith(f":{up.machine.children['worker-actions'].pid}")


def test_the_audit_chain_is_sealed_by_the_worker_in_the_background(up):
    eventually(lambda: not up.machine.sql("SELECT FROM approvals_auditunsealed LIMIT 1"), "all is sealed")


def test_who_serves_can_neither_change_the_audit_log_nor_the_schema(up):
    assert up.machine.sql("SELECT count(*) > 0 FROM approvals_auditevent", owner=False) == [(True,)]
    for statement in ("DELETE FROM approvals_auditevent", "DROP TABLE chat_run", "CREATE TABLE mine (id int)"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            up.machine.sql(statement, owner=False)


def test_without_the_password_nobody_is_let_in(up):
    ports = up.machine.ports
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host="127.0.0.1", port=ports["postgres"], user="countersign", dbname="countersign")
    check = up.services["valkey"]["healthcheck"]["test"][1]
    assert "valkey_conf" in check
    assert "redis_url" not in up.services["valkey"]["secrets"]
    assert "requirepass" in (up.machine.secrets / "valkey_conf").read_text()


def test_migrating_again_changes_nothing_and_fails_nobody(up):
    done = up.run("migrate")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_worker_that_is_silent_for_long_is_not_healthy(up):
    environ = {**up.environment("worker-runs"), "HEARTBEAT_FILE": str(up.machine.folder / "never")}
    words = up.services["worker-runs"]["healthcheck"]["test"][1:]
    assert up.machine.run("worker-runs", words, environ).returncode == 1


def test_secrets_are_in_files_and_in_no_variable(up):
    secrets = {file.name: file.read_text().strip() for file in up.machine.secrets.iterdir()}
    for service in ("web", *WORKERS, "scheduler", "migrate"):
        names = set(up.services[service]["secrets"])
        assert names <= {*secrets}
        told = " ".join(up.environment(service).values())
        assert not [name for name, value in secrets.items() if value in told]
    assert "owner_database_url" not in {name for one in ("web", *WORKERS) for name in up.services[one]["secrets"]}


def test_each_process_ends_by_itself_when_it_is_told_to(up):
    for name in ("web2", "worker-actions", "scheduler"):
        service = name.rstrip("0123456789")
        patience = float(up.services[service]["stop_grace_period"].removesuffix("s"))
        assert up.machine.stop(name, patience) in (0, -15), up.machine.log(name).read_text()[-2000:]
