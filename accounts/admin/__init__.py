"""The admin of accounts, and what the admin of every app stands on: `scope`, `base` and `forms`."""

from accounts.admin import groups, invitations, keys, locks, people, usage
from accounts.admin.scope import reads

__all__ = ["groups", "invitations", "keys", "locks", "people", "reads", "usage"]
