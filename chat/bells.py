"""The doorbells of workers: one for runs, one for actions. A message says only that there may be something to take."""

from core import queue

RUNS = "chat.execute_run"
ACTIONS = "chat.execute_action"

ring_run = queue.doorbell(RUNS)
"""Wake a worker once the transaction at hand is committed: a run is ready."""

ring_action = queue.doorbell(ACTIONS)
"""Wake a worker once the transaction at hand is committed: an action is ready."""
