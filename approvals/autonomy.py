"""How far an agent is trusted to act without being asked."""

from django.db import models


class Autonomy(models.TextChoices):
    """observer: proposals are recorded, nothing runs; advisor: asks; autonomous: policy alone decides."""

    OBSERVER = "observer", "Observer: nothing runs"
    ADVISOR = "advisor", "Advisor: asks first"
    AUTONOMOUS = "autonomous", "Autonomous: policy decides"
