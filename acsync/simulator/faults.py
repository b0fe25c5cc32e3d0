"""Gather the faults: by name for `acsync simulate --fault NAME`, by constructor for tests."""

from collections.abc import Callable

from acsync.simulator import failures, lies
from acsync.simulator.breakage import Fault, always, on_numbers, on_offset, on_path
from acsync.simulator.calls import Call

__all__ = ["FAULTS", "Fault", "always", "failures", "lies", "on_numbers", "on_offset", "on_path"]

BURST_EVERY, BURST_LENGTH = 40, 3


def _in_burst(call: Call) -> bool:
    return call.number % BURST_EVERY < BURST_LENGTH


def _bad_network() -> Fault:
    return failures.one_of(
        "bad-network",
        failures.reset(),
        failures.empty_body(),
        failures.cut_off(),
        failures.html(502),
        failures.status(503),
        failures.stall(2),
    ).only(share=0.08)


FAULTS: dict[str, Callable[[], Fault]] = {
    "bad-network": _bad_network,
    "bursts-of-5xx": lambda: failures.status(503).only(_in_burst),
    "cut-off-bodies": lambda: failures.cut_off().only(share=0.1),
    "empty-bodies": lambda: failures.empty_body().only(share=0.1),
    "slow": lambda: failures.stall(2),
    "page-always-fails": lambda: failures.html(502).only(on_offset("deals", 250)),
    "shared-budget": lambda: failures.too_many(1).only(share=0.2),
    "retry-after-an-hour": lambda: failures.too_many(3600).only(share=0.01),
    "forbidden-now-and-then": lambda: failures.forbidden().only(share=0.02),
    "key-revoked": failures.forbidden,
    "redirects": failures.redirect,
    "pages-of-50": lambda: lies.page_cap(50),
    "id-greater-ignored": lambda: lies.ignore_parameter("id_greater").only(on_path("contacts")),
    "orders-ignored": lambda: lies.ignore_parameter("orders"),
    "repeats-page": lies.repeat_page,
    "total-too-high": lambda: lies.add_to_total(7).only(on_path("contacts", "deals")),
    "total-too-low": lambda: lies.add_to_total(-7).only(on_path("contacts", "deals")),
    "sideloads-cut": lies.drop_sideload,
    "fields-vanish": lies.fields_vanish,
    "deals-masked": lambda: lies.mask_all().only(on_path("deals")),
    "account-empty": lambda: lies.empty_dataset().only(on_path("contacts", "deals")),
}
"""What each is good for: the first line of its constructor in `failures` and `lies`."""
