"""How passwords are hashed."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2(Argon2PasswordHasher):
    """Argon2id with OWASP's parameters for it (19 MiB, two passes, one lane).

    Django's own take 100 MiB for each login under way: eight at once would be all the memory of a small machine.
    """

    time_cost = 2
    memory_cost = 19_456
    parallelism = 1
