import time
from datetime import timedelta
from django.db import connection
from django.utils import timezone
from approvals.services import policies, trust, simulation
from approvals.services.policies import Draft
from approvals.models import *
from approvals import conditions
from tests.approvals.ruling import made, decided
from tests.approvals.desk import call, request

def t(label, f, n=1):
    s=time.perf_counter(); [f() for _ in range(n)]; d=(time.perf_counter()-s)/n
    print(f"{label}: {d*1e3:.3f} ms")

def test_it(workspace, owner, desk, member):
    for i in range(50):
        made(owner, f"R{i}", tool="service_*", condition=f'args.service == "x{i}"' if i%2 else "")
    held=policies.current(workspace.pk)
    t('current', lambda: policies.current(workspace.pk), 200)
    c=call(workspace)
    t('judge 50 rules, 25 conditions', lambda: policies.judge(c, held), 500)
    from approvals.rules import Rules
    t('judge 0 rules', lambda: policies.judge(c, Rules(0)), 5000)
    one=Rules(1, held.rules[:10])
    t('judge 10 rules, 5 conditions', lambda: policies.judge(c, one), 1000)
    t('save', lambda: made(owner, f"S{time.time()}"), 5)
    for p in Policy.objects.all(): p.delete()
    PolicyVersion.objects.all().delete()
    p=made(owner)
    for _ in range(300): request(desk, member)
    t('rejudge 300 same', lambda: policies.rejudge(workspace.pk))
    decided(workspace, 1000)
    connection.cursor().execute("analyze approvals_approval")
    t('trust 1000', lambda: trust.table(workspace.pk), 10)
    for _ in range(20): decided(workspace, 10000)
    connection.cursor().execute("analyze approvals_approval")
    t('trust 200k', lambda: trust.table(workspace.pk), 10)
    past=[__import__('approvals.calls').calls.PastCall(call=call(workspace), verdict='ask', policy='', at=timezone.now()) for _ in range(20000)]
    desk.calls_since=lambda w,s: iter(past)
    t('simulate 20000', lambda: simulation.simulate(Draft(policy=Policy(workspace=workspace,name='D',effect='deny',condition='args.service=="x"')), timezone.now()-timedelta(days=1)))
