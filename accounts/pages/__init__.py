"""The pages of accounts for people in a browser."""
