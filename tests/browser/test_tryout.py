import datetime
from tests.approvals.desk import request
from tests.browser.conftest import NARROW, WIDE
from accounts.models import Role, Group
from approvals.models import *
from approvals.services import approvals, sealing
from approvals.rules import Ask
from tests.cast import person
from tests.admin.conftest import furnish
from agents.models import Agent
def test_pictures(served, desk, member, manager, owner, signed_in, workspace):
    home=furnish(workspace,"here")
    from chat.models import Action
    act=home[Action]
    for i in range(22):
        a=request(desk, member, call={"agent_id":home[Agent].pk})
        approvals.decide(a.pk, by=manager, decision=Decision.APPROVE)
    a=request(desk, member, call={"tool":"door_unlock"}); approvals.decide(a.pk, by=manager, decision=Decision.REJECT,reason="No")
    request(desk, member)
    from django.db import connection
    sealing.seal()
    ev=AuditEvent.objects.filter(type="approval.approved").first()
    for dark in (False, True):
        for name, size in (("wide",WIDE),("narrow",NARROW)):
            page = signed_in(owner, dark=dark, size=size)
            for label, url in (("policyadd","/admin/approvals/policy/add/"),("policies","/admin/approvals/policy/"),("trust","/admin/approvals/trust/"),("audit","/admin/approvals/auditevent/"),("event",f"/admin/approvals/auditevent/{ev.pk}/change/"),("action",f"/admin/chat/action/{act.pk}/change/"),("version",f"/admin/approvals/policyversion/{home[PolicyVersion].pk}/change/")):
                page.goto(served+url); page.wait_for_timeout(300)
                page.screenshot(path=f"/tmp/w/shots/{label}-{name}-{'dark' if dark else 'light'}.png", full_page=label!="audit" or name=="wide")
            page.goto(served+"/admin/approvals/policy/add/")
            page.locator("[name=name]").fill("Trust restarts"); page.locator("[name=tool]").fill("here_*"); page.locator("[name=effect]").select_option("deny")
            page.get_by_role("button",name="Simulate").click(); page.wait_for_timeout(500)
            page.screenshot(path=f"/tmp/w/shots/sim-{name}-{'dark' if dark else 'light'}.png", full_page=True)
