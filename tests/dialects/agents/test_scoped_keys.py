"""Keys of one agent or one team open its chat, history and memories, and nothing else, in no dialect."""

import pytest

from accounts.models import ApiKey
from accounts.permissions import ScopeMissing, admit
from accounts.services import keys
from chat import consumers
from core import ids
from core.errors import Invalid
from tests.cast import Api
from tests.contract.operations import DOCUMENT, VERBS

OF_AGENT = ("POST /chat", "POST /chat/stream", "GET /history", "GET /memories")
OF_TEAM = ("POST /chat", "POST /chat/stream", "GET /history")
GUARDED = [
    (verb.upper(), path, spec[verb])
    for path, spec in DOCUMENT["paths"].items()
    for verb in VERBS
    if verb in spec and spec[verb].get("security")
]


def send(api, verb, path, message="Hello"):
    return getattr(api, verb.lower())(path, {"message": message} if verb == "POST" else {})


def test_a_key_of_one_agent_opens_its_chat_history_and_memories(scoped, agent, team):
    api = scoped(f"agent:{agent.pk}")
    for one in OF_AGENT:
        verb, _, path = one.partition(" ")
        assert send(api, verb, f"/api/agents/{agent.pk}{path}").status_code == 200, one
        assert send(api, verb, f"/api/agents/{str(agent.pk).upper()}{path}/").status_code == 200, one


def test_a_key_of_one_team_opens_its_chat_and_history(scoped, team):
    api = scoped(f"team:{team.pk}")
    for one in OF_TEAM:
        verb, _, path = one.partition(" ")
        assert send(api, verb, f"/api/teams/{team.pk}{path}").status_code == 200, one


def test_a_key_may_be_of_several(scoped, agent, other_agent, team):
    api = scoped(f"agent:{agent.pk}", f"team:{team.pk}")
    assert api.get(f"/api/agents/{agent.pk}/history").status_code == 200
    assert api.get(f"/api/teams/{team.pk}/history").status_code == 200
    assert api.get(f"/api/agents/{other_agent.pk}/history").status_code == 403


def test_a_scoped_key_without_scopes_is_global(scoped, agent, team):
    api = scoped()
    for path in ("/api/agents", "/api/teams", f"/api/agents/{agent.pk}/inbox", f"/api/teams/{team.pk}/history"):
        assert api.get(path).status_code == 200


def filled(path, spec, own):
    """A path of the schema in which every id is this one."""
    for one in spec.get("parameters", []):
        if one["in"] == "path":
            is_id = one["schema"].get("format") == "uuid" or one["name"].endswith("id")
            path = path.replace(f"{{{one['name']}}}", str(own) if is_id else "smart-home")
    return path


@pytest.mark.parametrize("kind", ["agent", "team"])
def test_nothing_else_opens_in_any_dialect(scoped, agent, team, kind):
    """Each operation of the schema, whose every id is that of the key's own agent or team."""
    own, mine = {"agent": (agent.pk, OF_AGENT), "team": (team.pk, OF_TEAM)}[kind]
    api = scoped(f"{kind}:{own}")
    opened, other = set(), {}
    for verb, path, spec in GUARDED:
        status = send(api, verb, filled(path, spec, own)).status_code
        if status == 200:
            opened.add(f"{verb} {path.rstrip('/')}")
        elif status != 403:
            other[f"{verb} {path}"] = status
    prefix = f"/api/{kind}s/{{{kind}_id}}"
    assert opened == {f"{verb} {prefix}{path}" for verb, path in (one.split(" ") for one in mine)}
    assert not other
    assert len(GUARDED) > 80


@pytest.mark.parametrize("rest", OF_AGENT)
def test_an_agent_that_is_not_the_keys_is_refused_whether_it_exists_or_not(
    scoped, agent, other_agent, foreign_agent, rest
):
    verb, _, path = rest.partition(" ")
    told = set()
    for api in (scoped(f"agent:{agent.pk}"), scoped(f"team:{other_agent.pk}")):
        for one in (other_agent.pk, foreign_agent.pk, ids.new()):
            answer = send(api, verb, f"/api/agents/{one}{path}")
            told.add((answer.status_code, answer.content))
    [(status, content)] = told
    assert (status, b"`agent:<id>` of this very one" in content) == (403, True)


def test_a_key_of_one_agent_goes_on_in_no_conversation_with_another(scoped, member, agent, other_agent, team, talk):
    api = scoped(f"agent:{agent.pk}")
    for foreign in (talk(member, other_agent), talk(member, team, answer=[])):
        body = {"message": "Hello", "conversation_id": str(foreign.pk)}
        assert api.post(f"/api/agents/{agent.pk}/chat", body).status_code == 404
        assert api.get(f"/api/agents/{agent.pk}/history", {"conversation_id": str(foreign.pk)}).status_code == 404
    assert api.get(f"/api/agents/{agent.pk}/history").json() == {"messages": []}


def test_no_socket_opens_for_a_key_of_one_agent(scoped, agent):
    with pytest.raises(ScopeMissing):
        consumers.bearer(scoped(f"agent:{agent.pk}").key, None)
    assert consumers.bearer(scoped("chat").key, None).key


def test_a_view_without_an_own_scope_lets_no_key_of_one_agent_in(member, scoped, agent):
    actor = keys.verify(scoped(f"agent:{agent.pk}").key)
    for scope in (None, "chat", "agent", f"agent:{ids.new()}"):
        with pytest.raises(ScopeMissing):
            admit(actor, scope)
    admit(actor, None, own_scope=f"agent:{agent.pk}")


@pytest.mark.parametrize(
    ("kind", "scopes", "told"),
    [
        ("scoped", ["agent:ada"], "one agent is agent:<id>"),
        ("scoped", ["agent"], "one agent is agent:<id>"),
        ("scoped", ["team:"], "one agent is agent:<id>"),
        ("scoped", ["agent:{id}", "chat"], "stand with no others"),
        ("secret", ["agent:{id}"], "for keys of kind scoped"),
        ("publishable", ["team:{id}"], "for keys of kind scoped"),
    ],
)
def test_scopes_of_one_agent_are_whole_and_a_scoped_keys_alone(member, kind, scopes, told):
    scopes = [scope.replace("{id}", str(ids.new())) for scope in scopes]
    with pytest.raises(Invalid, match=told):
        keys.create(
            workspace=member.workspace,
            user=member.user,
            name="k",
            kind=kind,
            scopes=scopes,
            origins=["https://a.example"],
        )
    assert not ApiKey.objects.exists()


def test_a_successor_is_of_the_same_agent(member, scoped, agent):
    old = ApiKey.objects.get(public_id=keys.parse(scoped(f"agent:{agent.pk}").key).public_id)
    _, text = keys.rotate(old, grace=keys.timedelta(0))
    assert Api(text).get(f"/api/agents/{agent.pk}/history").status_code == 200
    assert Api(text).get("/api/agents").status_code == 403
