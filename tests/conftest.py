"""Let asserts in `tests.support` show what they compared, in every tier."""

import os

import pytest

# A developer's .env names a real account. Prefect reads the file too, unless the variable is set.
os.environ.update(PYTHON_DOTENV_DISABLED="true", PREFECT_API_URL="")

pytest.register_assert_rewrite("tests.support")
