"""Name the privacy rules, and check that the account has the custom fields that they name."""

from collections.abc import Iterator, Sequence
from contextlib import closing

from acsync.activecampaign.client import Client
from acsync.activecampaign.listings import read_listing
from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.datasets import FIELDS, LISTINGS, DatasetName
from acsync.enrich.private_names import (
    Definition,
    custom_keys,
    find_named,
    read_definitions,
    unknown_field,
)
from acsync.errors import PrivacyDiffers, StoreError
from acsync.preflight.account_checks import GENTLE_RATE
from acsync.preflight.check_result import CheckResult, from_error
from acsync.settings import Settings
from acsync.store.inspection import open_read_only
from acsync.store.privacy import PrivacyState, read_known_keys, read_privacy, require_rules

CHECK = "privacy rules"


def check_privacy(settings: Settings) -> Iterator[CheckResult]:
    """Check the rules against the copy and the account; nothing if there are no rules."""
    rules = [rule for name in settings.datasets for rule in settings.privacy(name).rules]
    try:
        with open_read_only(settings) as database:
            require_rules(database, settings)
    except PrivacyDiffers as error:
        yield from_error(CHECK, error)
        return
    except StoreError:
        pass  # reported by the checks of the database
    if not rules:
        return
    unknown = [*_find_unknown(settings)]
    yield from unknown
    if not unknown:
        yield CheckResult(CHECK, "ok", f"{'; '.join(rules)}.")


def _find_unknown(settings: Settings) -> Iterator[CheckResult]:
    for name in settings.datasets:
        chosen = settings.privacy(name)
        if not custom_keys((*chosen.left_out, *chosen.hashed)):
            continue
        definitions = _read_fields(settings, name)
        known, state = _read_known(settings, name)
        _, _, unknown = find_named(chosen, definitions, known, state.named)
        for key in unknown:
            yield from_error(CHECK, unknown_field(chosen, key, definitions))


def _read_fields(settings: Settings, name: DatasetName) -> Sequence[Definition]:
    limiter = RateLimiter(min(settings.rate_limit, GENTLE_RATE))
    key = settings.api_key.get_secret_value()
    with closing(Client(settings.account_url, key, limiter)) as client:
        rows = read_listing(client, LISTINGS[FIELDS[name]]).rows
    return read_definitions(name, {FIELDS[name]: rows})


def _read_known(
    settings: Settings, name: DatasetName
) -> tuple[list[tuple[str, str]], PrivacyState]:
    """Return what the copy knows of fields; nothing if it cannot be read."""
    try:
        with open_read_only(settings) as database, database.begin() as connection:
            return read_known_keys(connection, name), read_privacy(connection, name)
    except StoreError:
        return [], PrivacyState()
