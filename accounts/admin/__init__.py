"""The admin of accounts, and what the admin of every app stands on: `scope`, `base` and `forms`."""

from accounts.admin import keys, people
from accounts.admin.scope import reads

__all__ = ["keys", "people", "reads"]
