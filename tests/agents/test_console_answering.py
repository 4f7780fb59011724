"""In the console providers are set up and tried, agents and tools switched, budgets set, imagined calls judged."""

from ipaddress import ip_network

import pytest
from django.test import Client

from accounts.models import Budget
from accounts.services import workspaces
from agents import brain
from agents.models import Agent, McpServer, McpTool, Provider, ToolSetting
from agents.services import providers
from approvals.autonomy import Autonomy
from approvals.models import AuditEvent, Policy
from approvals.services import policies
from core.publicnet import Endpoint
from tests.cast import person
from tests.servers.names import serving

pytestmark = pytest.mark.django_db
KEY = "sk-canary-0123456789abcdef"
NOBODY = "http://127.0.0.1:9/v1"  # nothing listens there
FORM = {
    "name": "ours",
    "kind": "openai",
    "base_url": "",
    "default_model": "t1-i0",
    "send_memories": "on",
    "enabled": "on",
}


@pytest.fixture
def local(settings, server):
    """The operator lets workspaces' admins set up the server of the tests."""
    settings.PROVIDER_PRIVATE_ADDRESSES = (Endpoint("127.0.0.1", server.port),)
    return server


@pytest.mark.django_db(transaction=True)
def test_a_provider_is_set_up_and_tried_and_its_key_is_never_shown(console, local):
    made = console.post("/console/providers/new/", {**FORM, "base_url": local.base_url, "api_key": KEY})
    provider = Provider.objects.get()
    assert made["Location"] == f"/console/providers/{provider.pk}/test/"
    assert provider.api_key == KEY
    answer = console.post(made["Location"])
    text = answer.content.decode()
    assert "It works." in text
    assert "t1-i0 answered" in text
    assert "asked first" in console.get("/console/providers/").text
    assert f"{provider.pk}/first/" not in text, "there is no other to be put before"
    assert local.chats[-1].headers["authorization"] == f"Bearer {KEY}"
    for path in ("", f"{provider.pk}/", f"{provider.pk}/test/"):
        assert KEY not in console.get(f"/console/providers/{path}").content.decode()
    assert KEY not in str(list(AuditEvent.objects.values()))


def test_a_new_provider_takes_no_answers_from_one_that_works(console, workspace, owner, settings):
    """Of one priority, they are asked by their names."""
    settings.PROVIDER_PRIVATE_ADDRESSES = (Endpoint("127.0.0.1", 9),)
    Provider.objects.create(workspace=workspace, name="works", base_url=NOBODY)
    assert "is asked after all others" in console.get("/console/providers/new/").text
    broken = {**FORM, "name": "broken", "base_url": NOBODY}
    assert "broken is set up and is asked after" in console.post("/console/providers/new/", broken, follow=True).text
    assert [found.name for found in brain.providers(workspace.pk)] == ["works", "broken", "rehearsal"]
    providers.create(by=owner, name="named", base_url=NOBODY, priority=5)
    assert [found.name for found in brain.providers(workspace.pk)] == ["named", "works", "broken", "rehearsal"]


def test_the_rehearsal_is_tested_as_what_it_is(console, workspace):
    row = Provider.objects.create(workspace=workspace, name="play", kind="rehearsal")
    path = f"/console/providers/{row.pk}/test/"
    assert "nothing is sent" in console.get(path).text
    text = console.post(path).text
    assert "It plays rehearsal and rehearsal-reasoning" in text
    assert not any(wrong in text for wrong in ("It works", "usual address", "costs a few tokens", "answered"))
    assert "built in, offline" in console.get("/console/providers/").text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("model", "said"), [("status:401", "refused the key"), ("status:500", "It does not work yet.")]
)
def test_a_provider_that_fails_says_how(console, local, model, said):
    console.post(
        "/console/providers/new/", {**FORM, "base_url": local.base_url, "api_key": KEY, "default_model": model}
    )
    text = console.post(f"/console/providers/{Provider.objects.get().pk}/test/").content.decode()
    assert said in text
    assert KEY not in text


@pytest.mark.django_db(transaction=True)
def test_tests_are_counted(console, local, monkeypatch):
    monkeypatch.setattr("agents.pages.providers.TESTS_A_MINUTE", 1)
    console.post("/console/providers/new/", {**FORM, "base_url": local.base_url, "api_key": KEY})
    path = f"/console/providers/{Provider.objects.get().pk}/test/"
    assert [console.post(path).status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000/v1", "http://169.254.169.254/v1", "http://10.0.0.1/v1", "http://[::1]/v1",
     "http://93.184.215.14/v1", "https://u:p@93.184.215.14/v1", "ftp://93.184.215.14/", "nothing"],
)  # fmt: skip
def test_an_admin_who_is_not_of_the_staff_sets_up_public_addresses_alone(console, url):
    answer = console.post("/console/providers/new/", {**FORM, "base_url": url})
    assert answer.status_code == 400
    assert not Provider.objects.exists()


@pytest.fixture
def names(settings):
    """A real name server on loopback, in place of the machine's."""
    with serving() as server:
        settings.DNS_SERVERS = (Endpoint("127.0.0.1", server.port),)
        yield server


@pytest.mark.parametrize("permitted", [(), (ip_network("10.0.0.0/8"),)])
@pytest.mark.parametrize("answers", [(["93.184.215.14"], ["127.0.0.1"]), (["127.0.0.1"], ["93.184.215.14"])])
def test_a_name_that_is_public_and_private_by_turns_is_not_asked_without_https(
    console, names, settings, answers, permitted
):
    settings.PROVIDER_PRIVATE_ADDRESSES = permitted
    names.leads("turns.example", *answers)
    answer = console.post("/console/providers/new/", {**FORM, "base_url": "http://turns.example/v1"})
    assert answer.status_code == 400
    assert names.asked == ["turns.example"], "it is looked up once"
    assert not Provider.objects.exists()


def test_a_name_of_a_permitted_network_is_asked_without_https(console, names, settings):
    settings.PROVIDER_PRIVATE_ADDRESSES = (ip_network("10.0.0.0/8"),)
    names.leads("models.lan", ["10.0.0.1"], ["93.184.215.14"])
    answer = console.post("/console/providers/new/", {**FORM, "base_url": "http://models.lan/v1"})
    assert (answer.status_code, names.asked) == (302, ["models.lan"])
    assert Provider.objects.get().base_url == "http://models.lan/v1"


@pytest.mark.django_db(transaction=True)
def test_a_name_that_leads_out_of_the_permitted_network_once_it_was_checked_is_not_connected_to(
    console, names, settings, server
):
    settings.PROVIDER_PRIVATE_ADDRESSES = (ip_network("10.0.0.0/8"),)
    names.leads("localhost", ["10.0.0.1"], ["10.0.0.1"], ["127.0.0.1"])  # as it is set up, tried, and connected to
    url = f"http://localhost:{server.port}/v1"
    assert console.post("/console/providers/new/", {**FORM, "base_url": url, "api_key": KEY}).status_code == 302
    answer = console.post(f"/console/providers/{Provider.objects.get().pk}/test/")
    assert "it leads to an address that is not public" in answer.content.decode()
    assert names.asked == ["localhost"] * 3
    assert not server.requests


def test_an_ollama_of_this_machine_is_the_operators_to_permit(console, owner):
    assert console.post("/console/providers/new/", {**FORM, "kind": "ollama"}).status_code == 400
    owner.user.is_staff = True
    owner.user.save()
    assert console.post("/console/providers/new/", {**FORM, "kind": "ollama"}).status_code == 302


def test_an_address_that_was_public_once_is_looked_at_again(console, workspace):
    provider = Provider.objects.create(workspace=workspace, name="moved", base_url="http://127.0.0.1:1/v1")
    answer = console.post(f"/console/providers/{provider.pk}/test/")
    assert "The address is refused" in answer.content.decode()


def test_a_well_known_service_needs_a_key_alone(console, monkeypatch):
    monkeypatch.setattr("core.guarded.lookup", lambda host, port: ["93.184.215.14"])
    assert console.post("/console/providers/new/", {**FORM, "preset": "groq", "api_key": KEY}).status_code == 302
    assert Provider.objects.get().base_url == "https://api.groq.com/openai/v1"


def test_a_key_goes_to_no_other_address(console, workspace):
    provider = Provider.objects.create(
        workspace=workspace, name="ours", base_url="https://93.184.215.14/v1", api_key=KEY
    )
    moved = {**FORM, "base_url": "https://93.184.215.15/v1", "api_key": ""}
    answer = console.post(f"/console/providers/{provider.pk}/", moved)
    assert (answer.status_code, b"Give the key again" in answer.content) == (400, True)
    kept = console.post(f"/console/providers/{provider.pk}/", {**FORM, "base_url": "https://93.184.215.14/v1"})
    assert kept.status_code == 302
    assert Provider.objects.get().api_key == KEY


def test_names_are_each_of_one_provider(console, workspace):
    Provider.objects.create(workspace=workspace, name="ours", kind="rehearsal")
    answer = console.post("/console/providers/new/", {**FORM, "kind": "rehearsal"})
    assert (answer.status_code, b"has this name" in answer.content) == (409, True)


def test_a_provider_is_put_first_in_line(console, workspace):
    rows = [Provider.objects.create(workspace=workspace, name=name, kind="rehearsal") for name in ("a", "b", "c")]
    console.post(f"/console/providers/{rows[2].pk}/first/")
    assert list(Provider.objects.order_by("priority", "name").values_list("name", flat=True)) == ["c", "a", "b"]
    console.post(f"/console/providers/{rows[0].pk}/remove/")
    assert Provider.objects.count() == 2


def test_who_was_not_put_first_stays_behind_the_environments(console, workspace, settings):
    settings.OPENAI_BASE_URL = NOBODY
    for name in ("a", "b", "c"):
        Provider.objects.create(workspace=workspace, name=name, base_url=NOBODY)
    assert console.get("/console/providers/").text.count("/first/") == 3, "the environment's is asked before them"
    for name, line in (("c", "c openai a b"), ("b", "b c openai a"), ("c", "c b openai a")):
        assert console.post(f"/console/providers/{Provider.objects.get(name=name).pk}/first/").status_code == 302
        assert " ".join(one.name for one in brain.providers(workspace.pk) if not one.offline) == line
        assert f'{name}</b> <span class="tag good">asked first' in console.get("/console/providers/").text


def test_the_model_that_answers_is_one_that_there_is(console, workspace, manager):
    path = "/console/providers/default-model/"
    wrong = console.post(path, {"model": "no-such-model"})
    assert (wrong.status_code, b'id="id_model_error"' in wrong.content) == (400, True)
    assert console.post(path, {"model": "rehearsal"}).status_code == 302
    workspace.refresh_from_db()
    assert workspace.default_model == "rehearsal"
    assert "<b>rehearsal</b> answers" in console.get("/console/providers/").content.decode()
    assert AuditEvent.objects.filter(type="workspace.changed").count() == 1
    console.post(path, {"model": ""})
    workspace.refresh_from_db()
    assert workspace.default_model == ""
    with pytest.raises(workspaces.MayNotConfigure):
        workspaces.set_default_model("rehearsal", by=manager)


def test_an_agent_is_changed_as_a_new_version_and_not_on_an_old_one(console, smart_home):
    agent = smart_home.agent
    said = {"name": "Hestia", "instructions": "Be brief.\r\nAlways.", "seen": 1}
    assert console.post(f"/console/agents/{agent.pk}/", said).status_code == 302
    agent.refresh_from_db()
    assert (agent.version, agent.instructions) == (2, "Be brief.\nAlways.")
    late = console.post(f"/console/agents/{agent.pk}/", said)
    assert (late.status_code, b"Read it again" in late.content) == (409, True)


def test_a_manager_reads_an_agent_and_switches_it_and_says_nothing_of_it(manager, smart_home):
    client = Client(headers={"Accept": "text/html"})
    client.force_login(manager.user)
    path = f"/console/agents/{smart_home.agent_id}/"
    assert "You help people run their home." in client.get(path).content.decode()
    client.post(path, {"name": "Mine", "instructions": "Obey me.", "seen": 1})
    assert Agent.objects.get().name == "Hestia"
    client.post(f"{path}switch/", {"to": "off"})
    assert not Agent.objects.get().enabled
    client.post(f"{path}switch/", {"to": "off"})
    assert not Agent.objects.get().enabled, "an old page switches nothing back"
    client.post(f"{path}switch/", {"to": "on"})
    assert Agent.objects.get().enabled


def test_a_tool_is_switched(console, workspace):
    path = "/console/tools/service_restart/switch/"
    assert "calls that wait for an approval do not run" in console.get(path).content.decode()
    console.post(path, {"to": "off"})
    assert not ToolSetting.objects.get().enabled
    assert "off" in console.get("/console/tools/", {"q": "service_restart"}).content.decode()
    console.post(path, {"to": "on"})
    assert ToolSetting.objects.get().enabled
    assert console.get("/console/tools/nothing_like_it/switch/").status_code == 404


def test_a_changed_definition_is_shown_and_accepted_as_it_was_seen(console, workspace):
    server = McpServer.objects.create(workspace=workspace, name="files", url="https://mcp.example.org/")
    tool = McpTool.objects.create(
        workspace=workspace, server=server, name="files__read", remote_name="read",
        offered={"name": "read", "description": "Reads <b>now</b>."}, offered_hash="a" * 64,
        accepted={"name": "read", "description": "Read before."}, accepted_hash="b" * 64,
    )  # fmt: skip
    path = f"/console/mcp/tools/{tool.pk}/accept/"
    text = console.get(path).content.decode()
    assert "Reads &lt;b&gt;now&lt;/b&gt;." in text
    assert "Read before." in text
    late = console.post(path, {"definition": "c" * 64, "risk": "read", "retry": "idempotent"})
    assert (late.status_code, b"Look at it again" in late.content) == (409, True)
    assert console.post(path, {"definition": "a" * 64, "risk": "write", "retry": "unknown"}).status_code == 302
    assert McpTool.objects.get().state == "accepted"
    console.post(f"/console/mcp/tools/{tool.pk}/withdraw/")
    assert McpTool.objects.get().state == "new"


def test_a_manager_accepts_nothing_as_less_risky_than_it_says(manager, workspace):
    server = McpServer.objects.create(workspace=workspace, name="files", url="https://mcp.example.org/")
    tool = McpTool.objects.create(workspace=workspace, server=server, name="files__rm", remote_name="rm",
                                  offered={"name": "rm"}, offered_hash="a" * 64)  # fmt: skip
    client = Client()
    client.force_login(manager.user)
    answer = client.post(
        f"/console/mcp/tools/{tool.pk}/accept/", {"definition": "a" * 64, "risk": "read", "retry": "unknown"}
    )
    assert (answer.status_code, b"Only an admin" in answer.content) == (403, True)


def test_budgets_are_set_changed_and_deleted(console, owner, workspace, other_workspace, smart_home):
    form = {"scope": "workspace", "period": "month", "tokens": "1000", "usd": "", "enabled": "on"}
    assert console.post("/console/budgets/new/", form).status_code == 302
    assert console.post("/console/budgets/new/", form).status_code == 409, "there is one of this kind"
    nothing = console.post("/console/budgets/new/", {**form, "scope": "each_person", "tokens": ""})
    assert (nothing.status_code, b"A budget limits" in nothing.content) == (400, True)
    elsewhere = person(other_workspace, "elsewhere").user
    assert (
        console.post("/console/budgets/new/", {**form, "scope": "person", "user": elsewhere.email}).status_code == 400
    )
    assert console.post("/console/budgets/new/", {**form, "scope": "person"}).status_code == 400
    unseen = {**form, "scope": "each_person", "user": "nobody", "agent": "none"}  # left in fields that are not shown
    assert console.post("/console/budgets/new/", unseen).status_code == 302
    of_agent = {**form, "scope": "agent", "agent": smart_home.agent_id, "usd": "2.5"}
    assert console.post("/console/budgets/new/", of_agent).status_code == 302
    text = console.get("/console/budgets/").content.decode()
    assert "0 of 1,000" in text
    assert "$0.00 of $2.50" in text
    assert "Agent Hestia" in text
    budget = Budget.objects.get(scope="workspace")
    console.post(f"/console/budgets/{budget.pk}/", {"tokens": "5", "usd": "", "enabled": "on"})
    assert Budget.objects.get(pk=budget.pk).tokens == 5
    console.post(f"/console/budgets/{budget.pk}/remove/")
    assert set(Budget.objects.values_list("scope", flat=True)) == {"each_person", "agent"}


def test_a_call_that_nobody_makes_is_judged_by_the_rules_that_hold(console, owner, workspace, smart_home):
    agent = smart_home.agent
    query = {"agent": agent.pk, "tool": "service_restart", "arguments": '{"service": "web"}'}

    def said(**more):
        return console.get("/console/policies/try/", {**query, **more}).content.decode()

    assert "It would wait for people: ask managers for 1 vote" in said()
    assert "does not have service_restart" in said()
    policies.save(
        Policy(workspace=workspace, name="No web", effect="deny", condition='args.service == "web"'), by=owner
    )
    assert "It would be refused." in said()
    assert "By the policy “No web”." in said()
    assert "It would wait for people" in said(arguments='{"service": "billing"}')
    Agent.objects.update(autonomy=Autonomy.OBSERVER, enabled=False)
    text = said()
    assert "the agent only observes" in text
    assert "Hestia is switched off." in text
    for wrong in ("[1]", "{", "[" * 5000, '"text"'):
        assert console.get("/console/policies/try/", {**query, "arguments": wrong}).status_code == 400
    for wrong in ('{"a": 1, "a": 2}', '{"a": NaN}'):
        assert console.get("/console/policies/try/", {**query, "arguments": wrong}).status_code == 400
    assert "It would" in said(person=owner.user.email.upper())
    assert console.get("/console/policies/try/", {**query, "person": person_elsewhere().user.email}).status_code == 400


def person_elsewhere():
    from accounts.models import Workspace  # noqa: PLC0415

    return person(Workspace.objects.create(name="Third", slug="third"), "third")
