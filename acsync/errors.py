"""Say what went wrong so that a person can act: what happened, where, what to do.

AcsyncError                 everything foreseeable
├── SettingsError           the environment cannot be used as it is
├── AccountError            ActiveCampaign did not give what was asked
│   ├── CallFailed          no usable answer, after every retry; another try may work
│   ├── CallRefused         a lasting refusal: key, permission, unknown path
│   └── PaginationError     answers that contradict the walk: nothing read this way can be trusted
├── StoreError              Postgres did not do what was asked
│   ├── SchemaOutdated      the tables are missing or of another version
│   ├── LeaseHeld           another sync is running
│   └── LeaseLost           another sync took over from this one
└── SyncFailed              a dataset was not published
    ├── Incomplete          the walk was not proven complete
    └── ShrinkRefused       the account lost a suspicious share of its records
"""

from collections.abc import Sequence


def sanitize(text: str) -> str:
    """Make one line of what others wrote, with nothing that a terminal or Postgres would obey.

    Control characters (escape sequences, NUL), invisible ones that turn text around, and half
    surrogate pairs become U+FFFD.
    """
    line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in line)


class AcsyncError(Exception):
    """The root: one paragraph that says what happened, where, and what to do.

    It may quote what an API sent, and ends up in terminals, logs and tables: so it is sanitize.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(sanitize(message))


class SettingsError(AcsyncError):
    """All problems of the environment at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("acsync cannot start. " + " ".join(problems))

    def __reduce__(self) -> tuple[type["SettingsError"], tuple[tuple[str, ...]]]:
        return SettingsError, (self.problems,)


class AccountError(AcsyncError):
    """ActiveCampaign did not give what was asked."""


class CallFailed(AccountError):
    """No usable answer, after every retry; another try later may work."""


class CallRefused(AccountError):
    """A lasting refusal: the key, its permissions, or the path."""


class PaginationError(AccountError):
    """Answers that contradict the walk, so that nothing read this way can be trusted."""


class StoreError(AcsyncError):
    """Postgres did not do what was asked."""


class SchemaOutdated(StoreError):
    """The tables are missing or of another version."""


class LeaseHeld(StoreError):
    """Another sync is running."""


class LeaseLost(StoreError):
    """Another sync took over from this one."""


class SyncFailed(AcsyncError):
    """A dataset was not published; the last snapshot stays."""


class Incomplete(SyncFailed):
    """The walk was not proven complete."""


class ShrinkRefused(SyncFailed):
    """The account lost a suspicious share of its records."""
