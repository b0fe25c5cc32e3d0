"""Let the account answer what its documentation leaves open, and say what it means for syncs.

A question without an answer is `unknown`. No sync depends on one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from acsync.activecampaign.account_facts import (
    AROUND_END,
    measure_total,
    read_hidden_pipelines,
)
from acsync.activecampaign.changes import (
    UPDATED_AFTER,
    Precision,
    date_of,
    probe_date_order,
    probe_filter,
    probe_precision,
)
from acsync.activecampaign.client import Client
from acsync.activecampaign.page import record_id
from acsync.datasets import DATASETS, Dataset, Record, is_masked
from acsync.errors import AccountError, NotByDate
from acsync.preflight.check_result import CheckResult

# Deals to name in a question: more would make a long URL.
NAMED_DEALS = 20

# A larger difference than this is more than a slow answer.
CLOCK_TOLERANCE = timedelta(minutes=1)

NOT_BY_DATE = "Full syncs are right without it. Do not set ACSYNC_INCREMENTAL_INTERVAL for these."


def _answer(check: str, ask: Callable[[], CheckResult]) -> CheckResult:
    try:
        return ask()
    except AccountError as error:
        return CheckResult(check, "unknown", f"The account does not answer this. {error.message}")


def answer_about(
    client: Client, dataset: Dataset, rows: Sequence[Record], total: int | None, page_size: int
) -> Iterator[CheckResult]:
    """Ask how a dataset is ordered, counted and read by date; `rows` are a sample of it."""
    after = " and after any id" if dataset.keyset else ""
    yield CheckResult(
        f"{dataset.name}: order",
        "ok",
        f"Pages come by id in both directions{after}, as requested: syncs can prove that none is "
        "missing.",
    )
    if total is not None:
        check = f"{dataset.name}: total"
        yield _answer(check, lambda: _compare_total(check, client, dataset, total))
    check = f"{dataset.name}: by date"
    if dataset.keyset:
        yield _answer(check, lambda: _try_filter(check, client, rows))
    else:
        yield _answer(check, lambda: _try_date_order(check, client, page_size))


def _compare_total(check: str, client: Client, dataset: Dataset, total: int) -> CheckResult:
    more = measure_total(client, dataset, total)
    if not more:
        return CheckResult(check, "ok", "The total is the number of ids.")
    number = f"{abs(more)} or more" if abs(more) >= AROUND_END else f"{abs(more)}"
    seen = f"The total counts {number} {'more' if more > 0 else 'fewer'} than there are ids."
    remedy = "Syncs count the ids themselves, and publish with a warning if the total differs."
    return CheckResult(check, "warning", seen, remedy)


def _try_filter(check: str, client: Client, rows: Sequence[Record]) -> CheckResult:
    contacts = DATASETS["contacts"]
    try:
        probe_filter(client, contacts, client.server_clock.now() or datetime.now(UTC))
        row = _find_mid_day(contacts, rows)
        precision = probe_precision(client, contacts, row) if row else None
    except NotByDate as error:
        return CheckResult(check, "warning", error.message, NOT_BY_DATE)
    if precision is None:
        seen = f"{UPDATED_AFTER} works. How exactly is not known: no sampled contact has a date."
        return CheckResult(check, "unknown", seen)
    meaning = {
        "times": "to the second: incremental syncs read only what changed.",
        "days": "by days alone: each incremental sync reads all contacts of its day.",
    }
    return CheckResult(check, "ok", f"{UPDATED_AFTER} works {meaning[precision]}")


def _find_mid_day(dataset: Dataset, rows: Sequence[Record]) -> Record | None:
    """Return a record whose date has another second of the same day on either side."""
    second = timedelta(seconds=1)
    for row in rows:
        date = date_of(dataset, row)
        if date and (date - second).date() == (date + second).date():
            return row
    return None


def _try_date_order(check: str, client: Client, page_size: int) -> CheckResult:
    try:
        precision = probe_date_order(client, DATASETS["deals"], page_size)
    except NotByDate as error:
        return CheckResult(check, "warning", error.message, NOT_BY_DATE)
    meaning: dict[Precision | None, str] = {
        "times": "orders[mdate] works to the second: incremental syncs read only what changed.",
        "days": "orders[mdate] works by days. The newest deals do not show if it knows times.",
    }
    if seen := meaning.get(precision):
        return CheckResult(check, "ok", seen)
    return CheckResult(check, "unknown", "Fewer than two deals have a date, so none shows it.")


def answer_hidden_pipelines(client: Client, user: Record, rows: Sequence[Record]) -> CheckResult:
    """Name the pipelines that the key's user cannot see; `rows` are sampled deals."""
    check = "hidden pipelines"
    # The pipeline of a masked deal is one of them.
    deals = sorted(rows, key=is_masked, reverse=True)
    ids = [record_id(row) for row in deals[:NAMED_DEALS]]

    def ask() -> CheckResult:
        titles = read_hidden_pipelines(client, user, ids)
        if not titles:
            masked = " Masked deals are of a deleted one." if any(map(is_masked, rows)) else ""
            return CheckResult(check, "ok", f"No pipeline is hidden from the key's user.{masked}")
        seen = f"The key's user cannot see {', '.join(titles)}: their deals are masked."
        remedy = "Let the user of AC_API_KEY see these pipelines, or use the key of an admin."
        return CheckResult(check, "warning", seen, remedy)

    return _answer(check, ask)


def answer_time_zone(user: Record, rows: Sequence[Record]) -> CheckResult:
    """Say which offsets the dates of sampled records have, and the zone of the key's user."""
    check = "time zone"
    texts = [text for row in rows for key in ("cdate", "udate", "mdate") if (text := row.get(key))]
    offsets = {_offset_of(str(text)) for text in texts}
    zone = f" The key's user is in {zone}." if (zone := user.get("localZoneid")) else ""
    if not texts:
        return CheckResult(check, "unknown", f"No sampled record has a date.{zone}")
    if None in offsets:
        remedy = "Tell ActiveCampaign's support. Such dates are empty in the views."
        return CheckResult(check, "warning", f"Some dates have no offset from UTC.{zone}", remedy)
    listed = " and ".join(sorted(map(str, offsets)))
    return CheckResult(
        check,
        "ok",
        f"Dates have an offset ({listed}), so they are exact moments.{zone} Times without one, "
        "such as edate of deals, are in the account's zone.",
    )


def _offset_of(text: str) -> str | None:
    """Return the offset of a date, such as -05:00, or None if it has none."""
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return date.isoformat()[-6:] if date.tzinfo else None


def answer_currencies(rows: Sequence[Record], digits: Mapping[str, int]) -> CheckResult:
    """Show one deal of each currency whose minor unit is not certain.

    `digits` are those of the currencies that have other digits than two by ISO 4217.
    """
    check = "currencies"
    deals: dict[str, Record] = {}
    for row in rows:
        if row.get("currency") and str(row.get("value") or "").strip("0"):
            deals.setdefault(str(row["currency"]).lower(), row)
    if not deals:
        return CheckResult(check, "unknown", "No sampled deal has a value.")
    unsure = {code: deal for code, deal in deals.items() if code in digits}
    if not unsure:
        return CheckResult(check, "ok", f"Deals are in cents of {', '.join(sorted(deals))}.")
    shown = "; ".join(
        f"deal {deal['id']} is sent as {deal['value']} and stored as "
        f"{_in_units(str(deal['value']), digits[code])} {code}"
        for code, deal in sorted(unsure.items())
    )
    remedy = (
        "Look at these deals in ActiveCampaign. If it shows another amount, correct ac_currencies: "
        "see Currencies in docs/data.md."
    )
    return CheckResult(check, "unknown", f"Minor units are not documented: {shown}.", remedy)


def _in_units(value: str, digits: int) -> str:
    """Return an amount in whole units, as the views show it."""
    return f"{int(value) / 10**digits:,.{digits}f}" if value.lstrip("-").isdigit() else value


def answer_clock(client: Client) -> CheckResult:
    """Compare the account's clock with that of this machine."""
    check, now = "clock", client.server_clock.now()
    if now is None:
        return CheckResult(check, "unknown", "The account's answers have no date.")
    ahead = now - datetime.now(UTC)
    # The answers have no fractions of seconds.
    if abs(ahead) < timedelta(seconds=2):
        return CheckResult(check, "ok", "The account and this machine have the same time.")
    direction = "ahead of" if ahead > timedelta() else "behind"
    seconds = round(abs(ahead.total_seconds()))
    seen = f"The account's clock is {seconds:,} s {direction} that of this machine."
    if abs(ahead) < CLOCK_TOLERANCE:
        return CheckResult(check, "ok", seen)
    remedy = "Set the clock of this machine. Syncs take the account's, so they miss no change."
    return CheckResult(check, "warning", seen, remedy)
