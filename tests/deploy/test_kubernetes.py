"""The Kubernetes manifests: what linters cannot know, and their commands and probes by processes instead of pods."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from chat.models import ActionState
from config.gauges import GAUGES
from tests.deploy import containers
from tests.deploy.containers import DEPLOY, Machine
from tests.servers.stack import eventually, free_port

pytestmark = pytest.mark.timeout(600)
FOLDER = DEPLOY / "kubernetes"
SETTINGS = containers.variables(FOLDER / "base" / "settings.env")
PROCESSES = ("web", "worker-runs", "worker-actions", "worker-background", "scheduler")


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in containers.manifests() if one["kind"] == kind}


def pods() -> dict[str, dict[str, Any]]:
    by_the_clock = {name: one["spec"]["jobTemplate"] for name, one in of_kind("CronJob").items()}
    return {
        name: one["spec"]["template"]["spec"]
        for name, one in (of_kind("Deployment") | of_kind("Job") | by_the_clock).items()
    }


def all_containers() -> Iterator[dict[str, Any]]:
    for pod in pods().values():
        yield from (*pod.get("initContainers", []), *pod["containers"])


def test_each_file_of_the_folder_is_applied_and_each_that_is_applied_is_there():
    for name in ("base", "autoscaled"):
        folder = FOLDER / name
        said = yaml.safe_load((folder / "kustomization.yaml").read_text())
        own = {one for one in said["resources"] if not one.startswith("..")}
        assert own == {file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml"}


def test_no_pod_may_do_more_than_it_needs():
    for name, pod in pods().items():
        assert pod["automountServiceAccountToken"] is False, name
        safe = pod["securityContext"]
        assert (safe["runAsNonRoot"], safe["seccompProfile"]["type"]) == (True, "RuntimeDefault"), name
        assert f"{safe['runAsUser']}:{safe['runAsGroup']}" == containers.image()["USER"][""], name
    for one in all_containers():
        safe = one["securityContext"]
        assert safe["readOnlyRootFilesystem"] is True
        assert safe["allowPrivilegeEscalation"] is False
        assert safe["capabilities"] == {"drop": ["ALL"]}
        assert one["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in one["resources"]["limits"]


def test_only_jobs_that_need_it_are_given_the_owner_of_the_tables():
    given = {name for name, pod in pods().items() if "countersign-owner" in json.dumps(pod)}
    assert given == {"migrate", "backup", "restore"}


def test_a_rollout_takes_no_web_process_away_before_another_is_ready_and_gives_each_its_time_to_end():
    deployments = of_kind("Deployment")
    assert deployments["web"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    for name in PROCESSES:
        spec = deployments[name]["spec"]
        grace = spec["template"]["spec"]["terminationGracePeriodSeconds"]
        if name.startswith("worker"):
            assert grace >= float(SETTINGS["DRAIN_SECONDS"]) + 15, name
    [web] = pods()["web"]["containers"]
    asleep = float(web["lifecycle"]["preStop"]["exec"]["command"][1])
    # uvicorn gives what is under way five seconds more.
    assert pods()["web"]["terminationGracePeriodSeconds"] > asleep + float(SETTINGS["WEB_DRAIN_SECONDS"]) + 5
    assert {name: deployments[name]["spec"].get("replicas") for name in ("web", "scheduler")} == {
        "web": None,
        "scheduler": 1,
    }
    assert deployments["scheduler"]["spec"]["strategy"]["type"] == "Recreate"


def test_every_queue_has_workers(settings):
    given = [one["env"][0]["value"] for pod in pods().values() for one in pod["containers"] if "WORKER" in str(one)]
    assert sorted(queue for one in given for queue in one.split(",")) == sorted(settings.QUEUES)


def test_workers_grow_in_number_by_a_metric_that_there_is():
    for file in sorted((FOLDER / "autoscaled").glob("scale-*.yaml")):
        [one] = containers.manifests(file)
        assert one["spec"]["scaleTargetRef"]["name"] in of_kind("Deployment")
        query = one["spec"]["triggers"][0]["metadata"]["query"]
        name, label, value = query.removeprefix("max(").removesuffix('"})').replace('="', "{").split("{")
        assert (GAUGES[name].label, value in GAUGES[name].values) == (label, True)


def test_every_secret_that_is_read_is_in_the_example():
    example = {
        one["metadata"]["name"]: one["stringData"] for one in containers.manifests(FOLDER / "secret.example.yaml")
    }
    mounted = {file.rpartition("/")[2] for name, file in SETTINGS.items() if name.endswith("_FILE")}
    assert mounted == set(example["countersign"])
    assert set(example["countersign-owner"]) == {"database_url"}


class Cluster:
    """The pods' containers on a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.port = free_port()

    def environment(self, of: str, container: dict[str, Any], **more: str) -> dict[str, str]:
        own = {one["name"]: one["value"] for one in container.get("env", [])}
        return self.machine.environment(of, SETTINGS, own, more)

    def run(self, pod: str, kind: str = "containers", **more: str):
        [container] = pods()[pod][kind]
        return self.machine.run(pod, container["command"], self.environment(pod, container, **more))

    def start(self, pod: str, **more: str) -> None:
        [container] = pods()[pod]["containers"]
        self.machine.start(pod, container["command"], self.environment(pod, container, **more))

    def lives(self, pod: str) -> bool:
        [container] = pods()[pod]["containers"]
        command = container["livenessProbe"]["exec"]["command"]
        return self.machine.run(pod, command, self.environment(pod, container)).returncode == 0

    def answers(self, kind: str) -> bool:
        """What an httpGet probe of the web pods sees: no header of ours, an address that no setting names."""
        path = pods()["web"]["containers"][0][kind]["httpGet"]["path"]
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


def test_a_backup_is_where_the_heads_are_and_a_restore_never_comes_by_itself():
    jobs, places = of_kind("CronJob"), pods()
    assert jobs["restore"]["spec"]["suspend"] is True
    assert "/backups/BACKUP.tar" in places["restore"]["containers"][0]["command"]
    for name in ("backup", "restore"):
        volumes = places[name]["volumes"]
        claims = {one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one}
        assert claims == {"audit-heads", "backups"} <= set(of_kind("PersistentVolumeClaim"))
    [near] = places["backup"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert "audit-heads" in json.dumps(places["worker-background"])
    assert near["labelSelector"]["matchLabels"] == {"app.kubernetes.io/component": "worker-background"}


@pytest.mark.long
def test_pods_wait_for_the_schema_then_answer_and_do_what_is_approved():
    with containers.machine() as machine:
        cluster = Cluster(machine)
        cluster.start("web", PORT=str(cluster.port), REHEARSAL="1")
        machine.until("web", lambda: cluster.answers("livenessProbe"), "lives")
        assert not cluster.answers("readinessProbe")
        assert cluster.run("worker-runs", "initContainers").returncode != 0

        done = cluster.run("migrate")
        assert done.returncode == 0, done.stdout + done.stderr
        machine.until("web", lambda: cluster.answers("readinessProbe"), "is ready")
        waited = cluster.run("worker-runs", "initContainers")
        assert waited.returncode == 0, waited.stdout + waited.stderr
        for name in PROCESSES[1:]:
            cluster.start(name, REHEARSAL="1")
        for name in PROCESSES[1:4]:
            machine.until(name, lambda name=name: cluster.lives(name), "lives")

        [job] = pods()["migrate"]["containers"]
        done = machine.run("demo", ["python", "manage.py", "demo"], cluster.environment("demo", job))
        assert done.returncode == 0, done.stderr
        demo = json.loads((machine.folder / "data" / "demo.json").read_text())
        said = {"Host": SETTINGS["ALLOWED_HOSTS"], "X-Forwarded-Proto": "https"}
        with httpx.Client(
            base_url=f"http://127.0.0.1:{cluster.port}", headers=said, timeout=60, trust_env=False
        ) as client:
            login = {name: demo["users"]["manager"][name] for name in ("email", "password")}
            manager = {"Authorization": f"Bearer {client.post('/v1/auth/login', json=login).json()['access']}"}
            client.headers["Authorization"] = f"Bearer {demo['keys']['secret']}"
            body = {"message": "Please restart the web service", "companion": "devops"}
            asked = client.post("/v1/ai/chat", json=body).json()
            approval = f"/v1/ai/approvals/{asked['approvals'][0]}"
            assert client.post(approval, json={"decision": "approve"}, headers=manager).status_code == 200

            def ended() -> bool:
                return client.get(f"/v1/ai/runs/{asked['run_id']}").json()["status"] == "completed"

            eventually(ended, "the run goes on and ends")
        [(state, worker)] = machine.sql("SELECT state, worker FROM chat_action WHERE run_id = %s", asked["run_id"])
        assert state == ActionState.SUCCEEDED
        assert worker.endswith(f":{machine.children['worker-actions'].pid}")
        for name in PROCESSES:
            assert machine.stop(name, pods()[name]["terminationGracePeriodSeconds"]) in (0, -15), name
