"""A Postgres that is too old is refused before the first statement of a transaction."""

import pytest

from acsync.errors import StoreError
from acsync.store.database import require_supported


@pytest.mark.parametrize("version", [90_624, 130_022])
def test_a_server_older_than_14_is_refused(version: int) -> None:
    """It cannot parse the functions of the schema, and its error would be one of syntax."""
    with pytest.raises(StoreError) as caught:
        require_supported(version, "db.example:5432/crm")

    assert caught.value.message == (
        f"Postgres at db.example:5432/crm is version {version // 10_000}, but acsync needs 14 or "
        "later."
    )


@pytest.mark.parametrize("version", [140_000, 180_006])
def test_a_server_from_14_on_is_used(version: int) -> None:
    """Hosted databases are often some years old."""
    require_supported(version, "db.example:5432/crm")
