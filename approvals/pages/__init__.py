"""The pages of approvals for people in a browser: the inbox outside the admin."""
