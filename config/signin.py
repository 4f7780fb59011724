"""Settings of signing in: passwords, second factors, an identity provider of one's own, and locks against guessing."""

from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config import env

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # refuses who is locked out before a password is looked at
    "allauth.account.auth_backends.AuthenticationBackend",
]
LOGIN_URL = "/account/login/"
LOGIN_REDIRECT_URL = "/"
SESSION_COOKIE_AGE = 43_200  # a working day
PASSWORD_RESET_TIMEOUT = 3 * 86_400  # how long the link in an invitation or for a new password opens

ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "accounts.wording.Login",
    "change_password": "accounts.wording.ChangePassword",
    "set_password": "accounts.wording.SetPassword",
    "reset_password": "accounts.wording.ResetPassword",
    "reset_password_from_key": "accounts.wording.ResetPasswordFromKey",
    "reauthenticate": "accounts.wording.Reauthenticate",
}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]  # nobody signs up, but allauth checks that they fit
ACCOUNT_EMAIL_VERIFICATION = "none"  # an address is given by an admin, or verified by the identity provider
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Countersign] "
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False  # of the sessions, the one in which it was changed goes on
ACCOUNT_LOGIN_ON_PASSWORD_RESET = False  # the second factor is asked for
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
# Failed passwords and codes are counted by accounts/limits.py and axes, for the API too; this is what passkeys have.
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/5m/key"}

MFA_ADAPTER = "accounts.adapters.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "Countersign"
MFA_TOTP_TOLERANCE = 1  # clocks of telephones are seconds off; a code counts once all the same
MFA_FORMS = {
    "authenticate": "accounts.factors.Authenticate",
    "reauthenticate": "accounts.factors.Reauthenticate",
    "activate_totp": "accounts.factors.Activate",
    "authenticate_webauthn": "accounts.factors.AuthenticateKey",
    "login_webauthn": "accounts.factors.LoginKey",
    "reauthenticate_webauthn": "accounts.factors.ReauthenticateKey",
    "add_webauthn": "accounts.factors.AddKey",
}
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not env.flag("HTTPS")  # browsers allow it on localhost alone

# Axes locks one account for one address, so that nobody locks others out of their own.
AXES_FAILURE_LIMIT = env.integer("LOGIN_FAILURES", 10, low=1)
AXES_COOLOFF_TIME = timedelta(seconds=env.seconds("LOGIN_LOCK_SECONDS", 900.0, low=1))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True  # the audit log has it
AXES_ENABLE_ADMIN = False  # accounts/admin/locks.py
AXES_VERBOSE = False
AXES_USERNAME_CALLABLE = "accounts.lockout.name"
AXES_CLIENT_IP_CALLABLE = "accounts.lockout.address"
AXES_LOCKOUT_CALLABLE = "accounts.lockout.respond"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "login", "email", "code", "csrfmiddlewaretoken", "next"]

# An identity provider: OpenID Connect. Its address is the operator's to choose, and may be a private one.
OIDC_ISSUER = env.text("OIDC_ISSUER").rstrip("/")
OIDC_CLIENT_ID = env.text("OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env.text("OIDC_CLIENT_SECRET")
OIDC_NAME = env.text("OIDC_NAME", "single sign-on")
OIDC_SCOPES = env.listing("OIDC_SCOPES", ["openid", "profile", "email"])
OIDC_VERIFIED_CLAIM = env.text("OIDC_VERIFIED_CLAIM", "email_verified")  # that must be true for the address to count
OIDC_WORKSPACE = env.text("OIDC_WORKSPACE")  # the short name of the workspace that these rules are about
OIDC_GROUPS_CLAIM = env.text("OIDC_GROUPS_CLAIM", "groups")
OIDC_ROLES = env.pairs("OIDC_ROLES")  # groups of the provider, and the role that each gives
OIDC_CREATE_PEOPLE = env.flag("OIDC_CREATE_PEOPLE")
OIDC_DOMAINS = [domain.lower() for domain in env.listing("OIDC_DOMAINS", [])]
OIDC_ONLY = env.flag("OIDC_ONLY")  # no passwords, neither on pages nor at the API
OIDC_BREAK_GLASS = env.flag("OIDC_BREAK_GLASS", True)  # save for superusers: for the day that the provider is away

SOCIALACCOUNT_ADAPTER = "accounts.adapters.SocialAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = True  # by verified addresses alone
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_LOGIN_ON_GET = True  # a form that led to the provider would need a hole in the content policy
SOCIALACCOUNT_REQUESTS_TIMEOUT = 10
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {
    "openid_connect": {"provider_class": "accounts.oidc.Provider", "OAUTH_PKCE_ENABLED": True, "APPS": []}
}
if OIDC_ISSUER:
    SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"].append(
        {
            "provider_id": "sso",
            "name": OIDC_NAME,
            "client_id": OIDC_CLIENT_ID,
            "secret": OIDC_CLIENT_SECRET,
            "settings": {"server_url": OIDC_ISSUER, "oauth_pkce_enabled": True},
        }
    )

_ROLES = ("member", "auditor", "manager", "admin")
if OIDC_ISSUER and not OIDC_CLIENT_ID:
    raise ImproperlyConfigured("OIDC_ISSUER needs OIDC_CLIENT_ID, the name of this installation at the provider.")
if OIDC_ONLY and not OIDC_ISSUER:
    raise ImproperlyConfigured("OIDC_ONLY needs OIDC_ISSUER: nobody could sign in.")
if OIDC_CREATE_PEOPLE and not (OIDC_DOMAINS and OIDC_WORKSPACE):
    raise ImproperlyConfigured("OIDC_CREATE_PEOPLE needs OIDC_DOMAINS and OIDC_WORKSPACE: whom, and into what.")
if OIDC_ROLES and not OIDC_WORKSPACE:
    raise ImproperlyConfigured("OIDC_ROLES needs OIDC_WORKSPACE, in which the roles are.")
if _unknown := sorted({*OIDC_ROLES.values()} - {*_ROLES}):
    raise ImproperlyConfigured(f"OIDC_ROLES has {', '.join(_unknown)}; a role is one of {', '.join(_ROLES)}.")
