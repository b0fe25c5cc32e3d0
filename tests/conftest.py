"""What every tier needs: asserts in `tests.support` show what they compared."""

import pytest

pytest.register_assert_rewrite("tests.support")
