"""Who there is: workspaces, the people in them, and the keys that programs carry."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models.functions import Lower

from accounts.querysets import ApiKeyQuerySet, GroupQuerySet, MembershipQuerySet, WorkspaceQuerySet
from core import ids, ledger


class Tier(models.TextChoices):
    """What a workspace has paid for; `self-hosted` has every feature."""

    FREE = "free", "Free"
    PRO = "pro", "Pro"
    ENTERPRISE = "enterprise", "Enterprise"
    SELF_HOSTED = "self-hosted", "Self-hosted"


class Role(models.TextChoices):
    """What a person may do in a workspace."""

    MEMBER = "member", "Member"
    MANAGER = "manager", "Manager"
    AUDITOR = "auditor", "Auditor"
    ADMIN = "admin", "Admin"


class Workspace(models.Model):
    """The tenant: nothing is shared between two of them."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=60, unique=True)
    tier = models.CharField(max_length=20, choices=Tier, default=Tier.SELF_HOSTED)
    default_model = models.CharField(max_length=200, blank=True, help_text="Used where nobody chose a model.")
    allow_fallback = models.BooleanField(
        default=False, help_text="Answer with another model where the one asked for is not to be had."
    )
    fallback_models = models.JSONField(
        default=list,
        blank=True,
        help_text="Who answers then, one model a line, the first that can be had; empty: the next provider's default.",
    )
    frozen = models.BooleanField(default=False, help_text="The kill switch: while it is set, no action runs.")
    break_glass = models.BooleanField(
        default=False, help_text="An admin may decide alone in an emergency, with a reason; everybody is told."
    )
    require_mfa = models.BooleanField(
        "require two-factor",
        default=False,
        help_text="Members without a second factor are led to set one up and can do nothing else.",
    )
    conversation_days = models.PositiveIntegerField(
        "days that conversations are kept",
        default=0,
        db_default=0,
        validators=[MaxValueValidator(36_500)],
        help_text="After their last message they go, with what memory has of what was said in them. 0: never.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = WorkspaceQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    """Makes users by e-mail address, as Django's commands ask for."""

    def create_user(self, email: str, password: str | None = None, **fields: object) -> "User":
        """A new person; the address is kept in lower case, by which it is unique."""
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> "User":
        """A new operator of the whole installation."""
        return self.create_user(email, password, **{"is_staff": True, "is_superuser": True, **fields})

    def get_by_natural_key(self, username: str | None) -> "User":
        """The person who signs in with this address, in any case of letters."""
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A person, who signs in by e-mail."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    email = models.EmailField(max_length=254, unique=True)
    name = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    same_person_as = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="second_accounts",
        help_text="The person's first account, where this is a second one: they countersign nothing of each other.",
    )
    # Tokens of before count no more.
    signed_out_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="one_user_per_email")]
        verbose_name = "person"
        verbose_name_plural = "people"

    def __str__(self) -> str:
        return self.email

    @property
    def identity(self) -> UUID:
        """The person behind the account: the id of their first one."""
        return self.same_person_as_id or self.id


class Membership(models.Model):
    """A person's place in a workspace."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role, default=Role.MEMBER)
    preferred_model = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "user"], name="one_membership_per_person")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.workspace_id} as {self.role}"


class Group(models.Model):
    """People of a workspace who are asked together, such as those on call."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="groups")
    name = models.CharField(max_length=100)
    members = models.ManyToManyField(User, blank=True, related_name="approver_groups")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = GroupQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_group_per_name")]

    def __str__(self) -> str:
        return self.name


class KeyKind(models.TextChoices):
    """What a key is for: a server's secret, a page's publishable key, or an agent client's scoped key."""

    SECRET = "secret", "Secret (sk)"
    PUBLISHABLE = "publishable", "Publishable (pk)"
    SCOPED = "scoped", "Scoped (at)"


class KeyMode(models.TextChoices):
    """Whether a key reaches live or test objects."""

    LIVE = "live", "Live"
    TEST = "test", "Test"


class ApiKey(models.Model):
    """A program's key. Only its public id and a SHA-256 of its secret are kept."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="keys")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="keys", help_text="On whose behalf it acts.")
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=20, choices=KeyKind, default=KeyKind.SECRET)
    mode = models.CharField(max_length=10, choices=KeyMode, default=KeyMode.LIVE)
    public_id = models.CharField(max_length=24, unique=True)
    secret_hash = models.BinaryField(max_length=32)
    scopes = models.JSONField(
        default=list,
        blank=True,
        help_text="Empty: all that its kind may do. Else one a line: chat, memory, approvals, audit, keys, admin; or, "
        "for a scoped key, agent:<id> or team:<id>: chat, history and memories of that one, and nothing else.",
    )
    origins = models.JSONField(
        default=list,
        blank=True,
        help_text="Of the pages it is used from: a publishable key names one at least, a secret key is taken from none "
        "that it does not name where pages may call.",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    rotated_to = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="rotated_from"
    )
    # Not a foreign key: what was begun with a line of keys stays its own, whichever of them are left.
    first_id = models.UUIDField(null=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(
        User,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Who was shown its text. If that is not whom it acts for, it decides nothing, and they decide "
        "nothing that was requested by it.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        verbose_name_plural = "API keys"
        indexes = [GinIndex(fields=["origins"], name="keys_by_origin", opclasses=["jsonb_path_ops"])]

    def __str__(self) -> str:
        return self.name

    @property
    def line(self) -> UUID:
        """The first of the keys of which each is the successor of the one before; this one, where it succeeds none."""
        return self.first_id or self.id

    @property
    def maker(self) -> User | None:
        """Who was shown its text, where that is somebody else than the person it acts for, with whichever account."""
        if self.created_by_id in (None, self.user_id):
            return None
        made = self.created_by
        return made if made and made.identity != self.user.identity else None


class IdempotentRequest(models.Model):
    """The first answer to an `Idempotency-Key`, given again to its repetitions."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    key = models.CharField(max_length=255)
    endpoint = models.CharField(max_length=300)
    request_hash = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField(null=True, help_text="Empty while the first request is under way.")
    response = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "user", "key", "endpoint"], name="one_answer_per_idempotency_key"
            )
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotent_by_age")]

    def __str__(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is asking: a person in one workspace with a role, and the key in their hand if they came with one.

    `visitor` is who speaks through a publishable key, by the id that the page's server knows them by, where a client
    token of that server's vouches for it.
    """

    user: User
    workspace: Workspace
    membership: Membership
    key: ApiKey | None = None
    visitor: str = ""

    @property
    def role(self) -> Role:
        """The person's role in this workspace."""
        return Role(self.membership.role)

    @property
    def is_authenticated(self) -> bool:
        """Always true: DRF asks it of whatever stands in `request.user`."""
        return True

    @property
    def pk(self) -> object:
        """The person's id, by which frameworks tell callers apart."""
        return self.user.pk

    @property
    def who(self) -> ledger.Who:
        """The person as the log names them, with the key in their hand."""
        return ledger.person(self.user.pk, label=str(self.user), key=self.key.public_id if self.key else "")

    def may(self, *roles: Role) -> bool:
        """Whether the person has one of these roles; an admin has them all."""
        return self.role in (*roles, Role.ADMIN)
