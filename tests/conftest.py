"""Let asserts in `tests.support` show what they compared, in every tier."""

import pytest

pytest.register_assert_rewrite("tests.support")
