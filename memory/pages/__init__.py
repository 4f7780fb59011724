"""The page of memory for people in a browser."""
