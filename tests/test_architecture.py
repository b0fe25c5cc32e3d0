"""The folder tree is the architecture: these contracts keep the arrows one-way."""

from pathlib import Path

from importlinter.cli import lint_imports

ROOT = Path(__file__).parent.parent


def test_imports_go_down_and_each_room_keeps_its_libraries() -> None:
    """The contracts are data, in pyproject.toml; zero is their exit status when all are kept."""
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)

    assert status == 0
