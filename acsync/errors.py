"""Every foreseeable failure: what happened, where, and what to do about it.

AcsyncError                 everything foreseeable
├── SettingsError           the environment or a block has values that cannot be used
├── UsageError              an argument names something that does not exist
├── AccountError            ActiveCampaign did not answer as expected
│   ├── CallFailed          no usable answer after all retries; another try may work
│   ├── CallRefused         a lasting refusal: the address, the plan, an unknown path
│   │   ├── AccessDenied    status 403: the key, or what its user may see
│   │   ├── NotFound        the account has no such record or path
│   │   ├── NoCrm           the plan of the account has no deals
│   │   └── NotByDate       the account does not tell what changed since a time
│   └── PaginationError     answers that contradict each other, so no page can be trusted
├── StoreError              Postgres did not do what was asked
│   ├── SchemaOutdated      the tables are missing, or older than this acsync
│   ├── SchemaTooNew        the tables are newer than this acsync
│   ├── AnotherAccount      the schema belongs to another account
│   ├── PrivacyDiffers      the copy was made with other privacy rules
│   ├── LockHeld            another transaction holds a lock
│   ├── DataRefused         Postgres refuses the records of a dataset
│   ├── LeaseHeld           another sync is running
│   └── LeaseLost           another sync took over from this one
└── SyncFailed              a dataset was not published
    ├── UnknownField        a privacy rule names a field that the account does not have
    ├── NoFullSync          an incremental sync has no full sync to start from
    ├── Incomplete          the walk was not proven complete
    └── ShrinkRefused       the account lost a suspicious share of its records
"""

import re
import shlex
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from difflib import get_close_matches

# The commands that take `--account`, unless they have one already.
COMMANDS = re.compile(
    r"\bacsync (check|dbt|deploy|export|forget|migrate|serve|show|status|sync|verify)\b"
    r"(?! --account)"
)

_account: ContextVar[str | None] = ContextVar("account", default=None)


def use_account(name: str | None) -> None:
    """Let remedies name this Prefect block from now on, in this thread and in Prefect's tasks."""
    _account.set(name)


def add_account(text: str) -> str:
    """Add `--account NAME` to the commands in a text if an account was chosen."""
    account = _account.get()
    if account is None:
        return text
    return COMMANDS.sub(lambda command: f"{command[0]} --account {shlex.quote(account)}", text)


def sanitize(text: str) -> str:
    """Return foreign text as one line that is safe for terminals and Postgres.

    Control characters (escape sequences, NUL), invisible characters that change the direction
    of text, and lone surrogates become U+FFFD.
    """
    line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in line)


def find_nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant, whatever its case and underscores, or None."""
    by_plain = {plain_name(candidate): candidate for candidate in names}
    matches = get_close_matches(plain_name(name), by_plain, n=1, cutoff=0.5)
    return by_plain[matches[0]] if matches else None


def plain_name(name: str) -> str:
    """Return a name as it is compared: `first_name` and `firstName` are the same."""
    return name.replace("_", "").lower()


class AcsyncError(Exception):
    """The root. `message` says what happened and where, `remedy` what to do; `str()` is both.

    Both are sanitized: they may quote an API, and are shown in terminals, logs and tables. The
    commands of a remedy name the account in use. A command that fails ends with `exit_status`.
    """

    exit_status = 1

    def __init__(self, message: str = "", remedy: str = "") -> None:
        self.message, self.remedy = sanitize(message), sanitize(add_account(remedy))
        super().__init__(f"{self.message} {self.remedy}".strip())


@dataclass(frozen=True)
class SettingsProblem:
    """A setting that cannot be used; `name` is its variable, or the field of a block."""

    name: str
    message: str

    def __str__(self) -> str:
        return f"{self.name} {self.message}"


class SettingsError(AcsyncError):
    """All problems of the settings: one is a sentence, several are one line each."""

    exit_status = 2

    def __init__(self, problems: Sequence[SettingsProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__(" ".join(map(str, problems)))

    def __str__(self) -> str:
        lines = [sanitize(str(problem)) for problem in self.problems]
        if len(lines) == 1:
            return f"acsync cannot start: {lines[0]}"
        return "\n".join(["acsync cannot start:", *(f"- {line}" for line in lines)])

    def __reduce__(self) -> tuple[type["SettingsError"], tuple[tuple[SettingsProblem, ...]]]:
        return SettingsError, (self.problems,)


class UsageError(AcsyncError):
    """An argument names something that does not exist or cannot be used."""

    exit_status = 2


class AccountError(AcsyncError):
    """ActiveCampaign did not answer as expected."""


class CallFailed(AccountError):
    """No usable answer after all retries; another try may work."""


class ResponseTooLarge(CallFailed):
    """A response that is too large to read; fewer rows may fit."""


class CallRefused(AccountError):
    """A lasting refusal: the address, the plan, an unknown path."""


class AccessDenied(CallRefused):
    """Status 403: the key, or what its user may see."""


class NotFound(CallRefused):
    """Status 404: the account has no such record or path."""


class NoCrm(CallRefused):
    """The plan of the account has no deals."""


class NotByDate(CallRefused):
    """The account does not tell what changed since a time: it ignores the question, or refuses."""

    is_refusal = False


class PaginationError(AccountError):
    """Answers that contradict each other, so no page can be trusted."""


class StoreError(AcsyncError):
    """Postgres did not do what was asked."""


class LockHeld(StoreError):
    """Another transaction held a lock for too long."""


class SchemaOutdated(StoreError):
    """The tables are missing, or older than this acsync."""


class SchemaTooNew(StoreError):
    """The tables are newer than this acsync."""


class AnotherAccount(StoreError):
    """The schema holds the records of another account."""


class PrivacyDiffers(StoreError):
    """The copy was made with other privacy rules than those of the settings."""


class DataRefused(StoreError):
    """Postgres refuses the records of a dataset: an index, a constraint or a trigger."""


class LeaseHeld(StoreError):
    """Another sync is running; an incremental one ends soon."""

    exit_status = 3
    by_incremental = False


class LeaseLost(StoreError):
    """Another sync took over from this one."""


class SyncFailed(AcsyncError):
    """A dataset was not published; the last snapshot stays."""


class UnknownField(SyncFailed):
    """A privacy rule names a custom field that the account does not have."""


class NoFullSync(SyncFailed):
    """An incremental sync has no full sync to start from."""


class Incomplete(SyncFailed):
    """The walk was not proven complete."""


class ShrinkRefused(SyncFailed):
    """The account lost a suspicious share of its records."""
