"""A call returns a page or raises a typed error. An error never becomes an empty page."""

import gzip
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace

import httpx
import pytest

from acsync.activecampaign.client import Client, Params, RequestLimits
from acsync.activecampaign.listings import read_listing
from acsync.activecampaign.rate_limiter import RateLimiter, Turn
from acsync.datasets import LISTINGS, Listing, ListingName, Record
from acsync.errors import CallFailed, CallRefused, PaginationError, ResponseTooLarge, SyncFailed
from acsync.readings import ListingRows
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.fault_injection import FAULTS, Fault, reply_with
from acsync.simulator.requests import Answer, Call
from acsync.simulator.server import serve
from tests.support import faults
from tests.support.calls import on_call, on_path
from tests.support.in_memory import SkippingClock, client_of

HASTY = RequestLimits(
    read_timeout_seconds=0.3,
    deadline_seconds=0.4,
    max_response_bytes=500_000,
    first_wait_seconds=0.01,
    max_pause_seconds=1.2,
)
CONTACTS: Params = {"limit": 20, "orders[id]": "ASC", "include": "fieldValues"}


def ids_of(rows: list[Record]) -> list[str]:
    return [row["id"] for row in rows]


@pytest.fixture
def account() -> Account:
    return Account(AccountOptions(contacts=60, deals=60, rate_limit=None))


@pytest.fixture
def client(account: Account) -> Client:
    return client_of(account, HASTY, calls_per_second=1000)


@contextmanager
def connected(account: Account) -> Iterator[Client]:
    """Connect through a socket."""
    clock, key = SkippingClock(), account.options.api_key
    limiter = RateLimiter(1000, clock=clock, sleep=clock.sleep)
    with serve(account) as url, closing(Client(f"{url}/api/3/", key, limiter, HASTY)) as client:
        yield client


def test_a_page_has_its_rows_its_sideloads_and_a_total_of_either_type(client: Client) -> None:
    """`meta.total` is a string on /contacts, a number on /deals and absent on deal fields."""
    contacts = client.get_page("contacts", CONTACTS)
    deals = client.get_page("deals", {"limit": 3})
    fields = client.get_page("dealCustomFieldMeta", {})

    assert (len(contacts.rows), contacts.total) == (20, 60)
    named = {value for row in contacts.rows for value in row["fieldValues"]}
    assert {value["id"] for value in contacts.sideloads["fieldValues"]} == named
    assert (len(deals.rows), deals.total) == (3, 60)
    assert fields.rows
    assert fields.total is None


PASSING_TROUBLE = [
    faults.status(500),
    faults.status(503),
    faults.html(502),
    faults.html(200),
    faults.forbidden(),
    faults.reset(),
    faults.stall(),
    faults.empty_body(),
    faults.cut_off(),
    faults.too_many(0),
    faults.too_many(1),
    faults.too_many(None),
    faults.too_many("soon"),
    faults.too_many_until(1),
    faults.too_many_until(-3600),
    faults.total_is("many"),
    faults.total_is(-5),
]


@pytest.mark.parametrize("fault", PASSING_TROUBLE, ids=lambda fault: fault.name)
def test_trouble_that_passes_is_retried_and_counted(
    fault: Fault, client: Client, account: Account
) -> None:
    """Each was seen in production, or is likely with a proxy on the way; a 403 comes and goes."""
    account.faults.add(fault.only(times=1))

    assert len(client.get_page("contacts", CONTACTS).rows) == 20
    assert client.rate_limiter.counts.calls == 2
    assert client.rate_limiter.counts.retries == 1


@pytest.mark.parametrize(
    "fault", [faults.reset(), faults.stall(), faults.drip(0.05)], ids=lambda fault: fault.name
)
def test_a_connection_that_breaks_or_stalls_once_is_retried(fault: Fault, account: Account) -> None:
    """Through a real socket, where httpx and the kernel have their say."""
    account.faults.add(fault.only(times=1))

    with connected(account) as client:
        assert len(client.get_page("contacts", CONTACTS).rows) == 20
    assert client.rate_limiter.counts.retries  # on a busy machine more than one


def packed(encoding: str) -> Fault:
    """Compress the answer as in this `Content-Encoding`, once for each name in it."""

    def reply(_call: Call, answer: Answer) -> Answer:
        body = answer.content()
        for name in encoding.split(", "):
            body = zlib.compress(body) if name == "deflate" else gzip.compress(body)
        headers = (*answer.headers, ("Content-Encoding", encoding))
        return replace(answer, data=None, body=body, headers=headers)

    return Fault("packed", reply=reply)


@pytest.mark.parametrize(
    ("fault", "error", "reason"),
    [
        (faults.status(500), CallFailed, "status 500"),
        (faults.empty_body(), CallFailed, "an empty response"),
        (faults.cut_off(), CallFailed, "not whole JSON"),
        (faults.reset(), CallFailed, "RemoteProtocolError"),
        (packed("br"), CallFailed, "a response in the encoding 'br'"),
        (packed("gzip, gzip"), CallFailed, "in the encoding 'gzip, gzip'"),
        (faults.forbidden(), CallRefused, "AC_API_KEY"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else None,
)
def test_trouble_that_stays_is_an_error_that_names_the_call(
    fault: Fault, error: type[Exception], reason: str, client: Client, account: Account
) -> None:
    """Three retries, then a person must be able to see which call failed and why."""
    account.faults.add(fault)

    with pytest.raises(error) as caught:
        client.get_page("contacts", CONTACTS)

    assert reason in str(caught.value)
    assert "GET /api/3/contacts?limit=20" in str(caught.value)
    assert account.options.api_key not in str(caught.value)
    assert client.rate_limiter.counts.calls == 4


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (faults.status(401), "status 401"),
        (faults.status(404), "status 404"),
        (faults.status(422), "status 422"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else None,
)
def test_what_no_retry_can_mend_is_refused_at_once(
    fault: Fault, reason: str, client: Client, account: Account
) -> None:
    """Neither the key nor the path gets better by asking again."""
    account.faults.add(fault)

    with pytest.raises(CallRefused, match=reason):
        client.get_page("contacts", CONTACTS)

    assert account.statistics.calls == 1


def test_an_answer_that_drips_is_given_up_and_the_server_can_still_stop(account: Account) -> None:
    """Every byte restarts the read timeout, so a page of contacts would take half an hour."""
    account.faults.add(faults.drip(0.05))

    began = time.monotonic()
    with connected(account) as client:
        with pytest.raises(CallFailed, match=r"a response not whole after 0\.4 s"):
            client.get_page("contacts", CONTACTS, attempts=1)
        given_up = time.monotonic() - began

    assert HASTY.deadline_seconds < given_up < 10
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_packed_answer_is_read(encoding: str, client: Client, account: Account) -> None:
    """The client asks for both encodings, because they make pages smaller."""
    account.faults.add(packed(encoding))

    assert len(client.get_page("contacts", CONTACTS).rows) == 20


def test_an_answer_that_unpacks_to_gigabytes_is_given_up_early() -> None:
    """The limit counts what comes out, as it comes out; asked again, it would come again."""
    bomb = gzip.compress(bytes(50_000_000))
    transport = httpx.MockTransport(
        lambda _: httpx.Response(
            200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(bomb)
        )
    )
    client = Client("http://localhost/api/3/", "key", RateLimiter(1000), HASTY, transport)
    tracemalloc.start()

    with pytest.raises(ResponseTooLarge, match="with more than 500,000 bytes"):
        client.get_page("contacts", CONTACTS)

    *_, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert client.rate_limiter.counts.calls == 1
    assert peak < 5_000_000


def test_a_429_pauses_every_thread(client: Client, account: Account) -> None:
    """One refusal is the account's: whoever calls during the pause is refused as well."""
    account.faults.add(faults.too_many(1).only(times=1))
    limiter = client.rate_limiter
    began = limiter.clock()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: client.get_page("contacts", CONTACTS), range(8)))

    assert limiter.counts.rate_limited == 1
    assert limiter.wait_turn().given_at >= began + 1


def unavailable(retry_after: int) -> Fault:
    """Answer 503 with this `Retry-After`, in seconds."""
    headers = (("Retry-After", str(retry_after)),)
    return Fault("unavailable", reply=reply_with(status=503, data=None, headers=headers))


@pytest.mark.parametrize(
    "fault",
    [
        faults.too_many(3600),
        faults.too_many_until(3600),
        faults.too_many("9" * 500),
        unavailable(3600),
    ],
    ids=["seconds", "date", "nonsense", "503"],
)
def test_a_pause_of_an_hour_is_a_clear_failure(
    fault: Fault, client: Client, account: Account
) -> None:
    """Waiting would hold the lease for an hour, and calling on would be impolite."""
    account.faults.add(fault)

    with pytest.raises(CallRefused, match=r"asks for a pause of .* s; a sync waits .* s at most"):
        client.get_page("contacts", CONTACTS)

    assert account.statistics.calls == 1


def test_a_503_that_says_when_to_come_back_is_obeyed_and_costs_no_rate(
    client: Client, account: Account
) -> None:
    """The server is in trouble, and the account's limit is not to blame."""
    account.faults.add(unavailable(1).only(times=1))
    limiter = client.rate_limiter
    rate, began = limiter.rate, limiter.clock()

    client.get_page("contacts", CONTACTS)

    assert limiter.clock() - began >= 0.95
    assert limiter.counts.rate_limited == 0
    assert limiter.rate == rate


@pytest.mark.parametrize("name", list(LISTINGS))
def test_metadata_is_read_to_its_end(name: ListingName) -> None:
    """More than 100 fields, stages and users are normal; the default page has 20."""
    account = Account(
        AccountOptions(
            contacts=0,
            deals=0,
            rate_limit=None,
            contact_fields=230,
            deal_fields=230,
            stages=230,
            users=230,
            lists=230,
        )
    )
    rows = read_listing(client_of(account), LISTINGS[name]).rows

    assert ids_of(rows) == ids_of(account.metadata.listings[name])
    if name != "pipelines":
        assert len(rows) >= 230


@pytest.mark.parametrize("name", ["contact_fields", "stages"])
def test_a_row_that_is_deleted_between_two_pages_takes_no_other_with_it(name: ListingName) -> None:
    """Later rows move up, so the second page would skip one."""
    account = Account(
        AccountOptions(contacts=0, deals=0, rate_limit=None, contact_fields=150, stages=150)
    )
    listing = account.metadata.listings[name]
    path = LISTINGS[name].path
    on_call(account, on_path(path), lambda: listing.pop(5))
    rows = read_listing(client_of(account), LISTINGS[name]).rows

    assert {*ids_of(listing)} <= {*ids_of(rows)}


def test_deal_fields_end_where_the_offset_is_ignored(client: Client, account: Account) -> None:
    """Whether /dealCustomFieldMeta honours `offset` is unknown: its first page comes again."""
    account.faults.add(faults.ignore_parameter("offset").only(on_path("dealCustomFieldMeta")))

    listing = read_listing(client, LISTINGS["deal_fields"])

    assert ids_of(listing.rows) == ids_of(account.metadata.listings["deal_fields"])
    assert listing.warnings == ()


def everything_at_once() -> Fault:
    """Ignore limit and offset, and send all rows."""

    def ask(call: Call) -> Call:
        asked = call.without("offset")
        return replace(asked, params={**asked.params, "limit": "1000000"}, page_cap=1_000_000)

    return Fault("everything-at-once", ask=ask)


@pytest.mark.parametrize(
    ("fault", "rows", "warned"),
    [
        (
            faults.ignore_parameter("offset"),
            100,
            ["/dealCustomFieldMeta returned the same 100 rows twice"],
        ),
        (everything_at_once(), 130, []),
    ],
    ids=["a full page that repeats", "everything at once"],
)
def test_more_than_a_page_of_deal_fields_is_warned_of_unless_all_came_at_once(
    fault: Fault, rows: int, warned: list[str]
) -> None:
    """A field without a definition is kept by its id. Refusing would block the account."""
    listing = read_many(LISTINGS["deal_fields"], fault)

    assert len(listing.rows) == rows
    assert [text.partition(",")[0] for text in listing.warnings] == warned


def repeat_row() -> Fault:
    """Send the second row of a page twice and omit the first, as ties in an order can do."""

    def change(rows: list[Record]) -> None:
        rows[:1] = rows[1:2]

    return faults.rows_fault("repeats-row", change)


def test_ties_in_an_order_that_is_not_given_lose_no_row() -> None:
    """One reading of three pages repeats a row and skips another; the next one has it."""
    second_page = repeat_row().only(lambda call: call.offset == 100, times=1)

    listing = read_many(LISTINGS["users"], second_page)

    assert len({row["id"] for row in listing.rows}) == 130
    assert listing.warnings == ()


def read_many(listing: Listing, fault: Fault) -> ListingRows:
    """Read a listing of 130 rows with a fault."""
    options = AccountOptions(contacts=0, deals=0, rate_limit=None, deal_fields=130, users=130)
    account = Account(options)
    account.faults.add(fault)
    return read_listing(client_of(account), listing)


def test_a_listing_shorter_than_its_total_is_not_taken_for_whole(
    client: Client, account: Account
) -> None:
    """A definition that is missing would rename a column in everybody's queries."""
    account.faults.add(faults.add_to_total(3).only(on_path("users")))

    with pytest.raises(PaginationError, match=r"/users counts .* rows, but 3 readings"):
        read_listing(client, LISTINGS["users"])


def test_a_client_that_is_closed_before_a_call_leaves_says_why(account: Account) -> None:
    """The deadline of a sync closes the client while its threads get their turns."""

    class Limiter(RateLimiter):
        def wait_turn(self) -> Turn:
            turn = super().wait_turn()
            closed.close("The sync took too long.")
            return turn

    with serve(account) as url:
        closed = Client(f"{url}/api/3/", account.options.api_key, Limiter(1000))
        with pytest.raises(SyncFailed, match="The sync took too long"):
            closed.get_page("users", {})


def test_the_client_tells_when_each_call_left(account: Account) -> None:
    """By an event of httpcore, whose name is no part of its interface."""
    turns = list[Turn]()

    class Limiter(RateLimiter):
        def note_sent(self, turn: Turn) -> None:
            super().note_sent(turn)
            turns.append(turn)

    with serve(account) as url:
        client = Client(f"{url}/api/3/", account.options.api_key, Limiter(1000))
        for _ in range(3):
            client.get_page("users", {})
        client.close()

    assert len(turns) == 3
    assert all(turn.sent_at > turn.given_at for turn in turns)


def test_a_program_that_takes_a_fifth_costs_its_pauses_and_no_rate(account: Account) -> None:
    """The simulator's own fault: 92 calls took 200 seconds when each refusal lowered the rate."""
    account.faults.add(*FAULTS["shared-budget"])
    client = client_of(account, HASTY, calls_per_second=10)
    limiter = client.rate_limiter
    began = limiter.clock()

    for _ in range(300):
        client.get_page("users", {})

    pauses = limiter.counts.rate_limited * 1.0
    assert limiter.clock() - began <= 1.3 * (300 / (0.8 * 10) + pauses)
    assert limiter.rate > 5
