"""The pages of chat for people in a browser."""
