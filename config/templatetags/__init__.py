"""Template tags of the admin's site."""
