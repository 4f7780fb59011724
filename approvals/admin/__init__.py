"""The admin of approvals: the inbox, requests, policies, trust, the audit log, and what is told outside."""

from approvals.admin import approvals, audit, channels, policies, records

__all__ = ["approvals", "audit", "channels", "policies", "records"]
