"""Read the cookbook: questions with their SQL."""

from dataclasses import dataclass
from importlib.resources import files

# The folders of the cookbook, in the order of the page.
TOPICS = {
    "contacts": "Contacts",
    "lists_and_tags": "Lists and tags",
    "custom_fields": "Custom fields",
    "deals": "Deals",
    "pipelines": "Pipelines and stages",
    "changes": "Changes and earlier syncs",
    "pitfalls": "Pitfalls",
}

# This topic is on the page /data too.
PITFALLS = TOPICS["pitfalls"]

# Shown on the dashboard; the others are on the page /queries.
FIRST = ("pipeline_value_by_stage", "who_to_write_to", "changed_in_the_last_sync")


@dataclass(frozen=True)
class Question:
    """One file of the cookbook: its first line is the question."""

    name: str
    title: str
    sql: str


def read_cookbook() -> dict[str, tuple[Question, ...]]:
    """Return the questions by topic, in the order of their names."""
    return {title: _read_topic(folder) for folder, title in TOPICS.items()}


def _read_topic(folder: str) -> tuple[Question, ...]:
    questions = []
    for file in (files("acsync.web") / "cookbook" / folder).iterdir():
        first_line, _, sql = file.read_text(encoding="utf-8").partition("\n")
        title = first_line.removeprefix("-- ")
        questions.append(Question(file.name.removesuffix(".sql"), title, sql.strip()))
    return tuple(sorted(questions, key=lambda question: question.name))
