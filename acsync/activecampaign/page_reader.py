"""Read one page with every value that its records name, in smaller pages if necessary."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, TypeAlias

from acsync.activecampaign.bad_record import Position, describe_bad_record
from acsync.activecampaign.client import ATTEMPTS, Client
from acsync.activecampaign.missing_values import MissingValues, Verdict
from acsync.activecampaign.page import NOT_PUBLISHED, Page
from acsync.activecampaign.sideloads import (
    OptionalRelations,
    find_stray,
    join_includes,
    require_arrays,
    require_landed,
)
from acsync.datasets import RelationName
from acsync.errors import (
    AccountError,
    CallFailed,
    NotFound,
    PaginationError,
    ResponseTooLarge,
)

Order: TypeAlias = Literal["ASC", "DESC"]

# How many times to request an answer that may be wrong.
MAX_ANSWERS = 4


@dataclass(frozen=True)
class Question:
    """Which records to read, and in which order."""

    order_by: str = "id"
    filters: Mapping[str, str] = field(default_factory=dict)


class PageReader:
    """Reads pages of `page_size` records of one dataset, smaller ones after a page was too large.

    `relations` are read with each record, for as long as the account sends them. All readers of a
    dataset in one sync share `missing` and `optional`. Without a `question`, all records are read.
    """

    def __init__(
        self,
        client: Client,
        page_size: int,
        missing: MissingValues,
        relations: tuple[RelationName, ...] = (),
        optional: OptionalRelations | None = None,
        question: Question | None = None,
    ) -> None:
        self.client = client
        self.dataset = missing.dataset
        self.page_size = page_size
        self._relations = relations
        self._missing = missing
        self._optional = optional or OptionalRelations()
        self._question = question or Question()
        # A page of a walk by offset needs a new record besides the one that was read before.
        self._smallest = 1 if self.dataset.keyset else 2

    def read(self, position: Position, order: Order) -> Page:
        """Return a page with every value that its records name, except orphans.

        If values were cut off, this page and all later ones are read with half the rows. Raises
        CallFailed if even the smallest page is cut off, or if answers contradict each other.
        """
        unclear = 0
        while True:
            may_shrink = self.page_size > self._smallest
            page, verdict = self._read_and_judge(position, order)
            if verdict is Verdict.WHOLE:
                return page
            unclear += verdict is Verdict.UNCLEAR
            if unclear == MAX_ANSWERS or (verdict is Verdict.CUT and not may_shrink):
                raise self._incomplete(page, verdict)
            if verdict is Verdict.CUT:
                self._halve_pages()

    def _read_and_judge(self, position: Position, order: Order) -> tuple[Page, Verdict]:
        missing = self._missing

        def read(part: Position, rows: int) -> Page:
            return self._get(part, order, rows)

        def judge_at_sight(page: Page) -> Verdict | None:
            # A replica that lags lacks values of the newest records.
            may_trust, may_shrink = order == "ASC", self.page_size > self._smallest
            return missing.judge_at_sight(page, may_trust=may_trust, may_shrink=may_shrink)

        page = read(position, missing.calm_rows(self.page_size, self._smallest))
        if verdict := judge_at_sight(page):
            return page, verdict
        # Another thread's verdict may be enough for this page.
        with missing.judging:
            if verdict := judge_at_sight(page):
                return page, verdict
            return missing.judge(page, position, self.page_size, read)

    def _halve_pages(self) -> None:
        self.page_size = max(self.page_size // 2, self._smallest)

    def _incomplete(self, page: Page, verdict: Verdict) -> CallFailed:
        record, names = max(self._missing.find(page).items(), default=(0, set()))
        keys = " and ".join(sorted({key for key, _ in names})) or "values"
        how = (
            "however small the page is"
            if verdict is Verdict.CUT
            else f"and its answers contradicted each other {MAX_ANSWERS} times"
        )
        return CallFailed(
            f"/{self.dataset.path} sent record {record} without {len(names)} of its {keys}, {how}.",
            "Sync again. If it happens again, tell ActiveCampaign's support.",
        )

    def _get(self, position: Position, order: Order, rows: int) -> Page:
        """Read a page, without relations if it fails with them.

        If it keeps failing, find the record that breaks it.
        """
        relations = self._optional.usable(self._relations)
        ask = partial(self._ask, position, order, rows)
        try:
            return ask(relations)
        except ResponseTooLarge:
            if self.page_size > self._smallest:
                self._halve_pages()
                return self._get(position, order, min(rows, self.page_size))
            raise
        except AccountError as failed:
            if page := self._ask_for_less(ask, relations, failed):
                return page
            if not isinstance(failed, CallFailed):
                raise
            raise self._with_bad_record(failed, position, order, rows) from None

    def _ask_for_less(
        self, ask: Callable[..., Page], relations: tuple[RelationName, ...], failed: AccountError
    ) -> Page | None:
        """Return the page with the relations that work, or None if it fails without them too.

        All relations together are tried once more, since the account may have recovered. The rest
        of the sync leaves out those that fail.
        """

        def try_with(names: tuple[RelationName, ...], attempts: int = 1) -> Page | None:
            try:
                return ask(names, attempts)
            except AccountError:
                return None

        if not relations:
            return None
        # A refusal was not retried, so a passing failure here must not hide its reason.
        page = try_with((), 1 if isinstance(failed, CallFailed) else ATTEMPTS)
        if page is None:
            return None
        for names in dict.fromkeys([relations, *((name,) for name in relations)]):
            if page_with_relations := try_with(names):
                page = page_with_relations
                break
        left_out = [name for name in relations if name not in page.relations]
        self._optional.leave_out(left_out, failed.message)
        return page

    def _ask(
        self,
        position: Position,
        order: Order,
        rows: int,
        relations: tuple[RelationName, ...],
        attempts: int = ATTEMPTS,
    ) -> Page:
        """Request a page with all arrays that it includes.

        It is requested again if a sideloaded row does not belong to the record that names it.
        """
        includes = join_includes(self.dataset, relations)
        params = {
            "limit": rows,
            f"orders[{self._question.order_by}]": order,
            "include": includes,
            **self._question.filters,
            **position,
        }

        def ask() -> Page:
            page = self.client.get_page(self.dataset.path, params, attempts)
            page = replace(page, limit=rows, relations=relations)
            require_arrays(self.dataset, page)
            return page

        page = ask()
        if find_stray(self.dataset, page):
            page = ask()
            require_landed(self.dataset, page)
        return page

    def read_single(self, single_id: int) -> Page | None:
        """Return one record as a page, or None if the account has no such record.

        The values of one record are never cut off, so missing ones belong to deleted fields.
        Raises AccountError if ActiveCampaign does not say whether the record exists.
        """
        path = f"{self.dataset.path}/{single_id}"
        relations = self._optional.usable(self._relations)
        try:
            page = self.client.get_page(path, {"include": join_includes(self.dataset, relations)})
        except NotFound:
            return None
        if page.ids != (single_id,):
            raise PaginationError(f"/{path} sent the ids {[*page.ids[:3]]}.", NOT_PUBLISHED)
        page = replace(page, relations=relations)
        require_arrays(self.dataset, page)
        require_landed(self.dataset, page)
        return page

    def _with_bad_record(
        self, failed: CallFailed, position: Position, order: Order, rows: int
    ) -> CallFailed:
        def read_ids(part: Position, part_rows: int) -> tuple[int, ...]:
            return self._ask(part, order, part_rows, (), attempts=1).ids

        where, remedy = describe_bad_record(read_ids, position, rows)
        return CallFailed(f"{failed.message} {where}".rstrip(), remedy or failed.remedy)
