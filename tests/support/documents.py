"""Read the project's documents, and its prose in all files.

`python -m tests.support.documents [paths]` lists the sentences that read as translated. The ten
patterns mark an older way of writing in this project. Prose in good English has them in at most
2 % of its sentences. Read a paragraph again as a whole before you change its words.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
PATTERN = re.compile(
    "|".join(
        (
            r"^(What|Who|Whoever|Whatever|That|Where|Those|Whom)\b(?![^.]*\?$)",
            r"\bwhere (it|there|that|a|an|no|one|none|the|this|its|something|nothing|many|another"
            r"|rows|values|they|few)\b",
            r"\b(no more|any more|for ever|for good)\b",
            r"\b(but for|of its own|by itself|of ours|of theirs|of one's own)\b",
            r"\b(may not|need not)\b",
            r"\b(beside|behind)\b",
            r"\b(anew|alike|meanwhile|hence|else|for want of)\b",
            r"\bstands?\b",
            r"\bgives?\b",
            r"\b(so many|so long|so much|as many)\b",
        )
    )
)
GROUPS = {
    "code": ("acsync", "flows", "migrations"),
    "tests": ("tests",),
    "documents": ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".env.example", "docs"),
}
# Their text was run by users and cannot change.
RELEASED_SQL = re.compile(r"^000[1-9]_.*\.sql$")

SQL = re.compile(
    r"\s*(--[^\n]*\n\s*)*"
    r"(select|insert|update|delete|with|create|alter|drop|grant|revoke|copy|set|lock|truncate"
    r"|from|where|and|join|returning|values)\b.*[_(=*]",
    re.DOTALL,
)
WORD = re.compile(r"[^\W\d_][\w'-]*")
DIRECTIVE = re.compile(r"#\s*(noqa|type:|fmt:|pragma|hadolint)[^#]*")


def code_blocks(language: str) -> list[str]:
    """Return the blocks of a language from all documents."""
    block = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [text for path in DOCUMENTS for text in block.findall(path.read_text())]


def table_rows(name: str) -> list[list[str]]:
    """Return the cells of each row of the tables in a document, such as `docs/settings.md`."""
    lines = (ROOT / name).read_text().splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|") and not line.startswith(("|--", "|:-"))
    ]


@dataclass(frozen=True)
class Hit:
    """A sentence that matches a pattern, and the line of its text."""

    path: Path
    line: int
    sentence: str


@dataclass(frozen=True)
class Share:
    """How many sentences of some files match a pattern."""

    sentences: int
    hits: tuple[Hit, ...]

    @property
    def percent(self) -> float:
        """Hits per 100 sentences."""
        return 100 * len(self.hits) / self.sentences if self.sentences else 0.0

    def __str__(self) -> str:
        lines = [f"{len(self.hits)} of {self.sentences} sentences, {self.percent:.1f} %"]
        by_path: dict[Path, list[Hit]] = {}
        for hit in self.hits:
            by_path.setdefault(hit.path, []).append(hit)
        for path, hits in sorted(by_path.items(), key=lambda item: -len(item[1])):
            lines.append(f"\n{path.relative_to(ROOT)}: {len(hits)}")
            lines += [f"  {hit.line}: {hit.sentence}" for hit in hits]
        return "\n".join(lines)


def measure(paths: Iterable[Path]) -> Share:
    """Read files, and folders with all their files, and count the sentences that match."""
    count, hits = 0, []
    for path in _files(paths):
        for line, text in _texts(path):
            for sentence in split_sentences(text):
                count += 1
                if PATTERN.search(sentence):
                    hits.append(Hit(path, line, sentence))
    return Share(count, tuple(hits))


def split_sentences(text: str) -> list[str]:
    """Split at . ! ? : ; into sentences of at least three words, without code spans."""
    text = re.sub(r"(`+).+?\1", " ", text, flags=re.DOTALL)
    parts = re.split(r"(?<=[.!?:;])\s+|\n\s*\n", text)
    sentences = (" ".join(part.split()) for part in parts)
    return [sentence for sentence in sentences if len(WORD.findall(sentence)) >= 3]


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inside:
            if file.is_file() and not RELEASED_SQL.match(file.name):
                yield file


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each piece of prose in a file with its line; nothing for other kinds of files."""
    if path.suffix == ".py":
        yield from _python(path.read_text())
    elif path.suffix == ".sql":
        yield from _sql(path.read_text())
    elif path.suffix == ".html":
        yield from _template(path.read_text())
    elif path.suffix == ".md":
        yield from _markdown(path.read_text())
    elif path.suffix in {".yaml", ".toml"} or path.name in {".env.example", "Makefile"}:
        yield from _blocks(path.read_text(), "#")
    elif path.suffix == ".yml":
        yield from _descriptions(path.read_text())


def _python(source: str) -> Iterator[tuple[int, str]]:
    """Yield docstrings, comments, and literals of three words or more that are not code."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [""] * (source.count("\n") + 2)
    for token in tokens:
        if token.type == tokenize.COMMENT:
            comments[token.start[0] - 1] = DIRECTIVE.sub("", token.string)
    yield from _blocks("\n".join(comments), "#")
    for line, text in literals(ast.parse(source)):
        if SQL.match(text):
            yield from ((line + offset - 1, comment) for offset, comment in _sql(text))
        elif "\\" not in text:  # a regular expression has one
            yield line, text


def literals(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the string literals under a node, with X for each value of an f-string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.lineno, node.value
    elif isinstance(node, ast.JoinedStr):
        yield node.lineno, "".join(_part(value) for value in node.values)
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                yield from literals(value.value)
    else:
        for child in ast.iter_child_nodes(node):
            yield from literals(child)


def _part(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else "X"


def _sql(source: str) -> Iterator[tuple[int, str]]:
    """Yield the comments of SQL, and the texts of `comment on`."""
    yield from _blocks(source, "--")
    for match in re.finditer(r"comment on [^']*? is\s+((?:'(?:[^']|'')*'\s*)+);", source):
        text = re.sub(r"'\s*\n\s*'", "", match[1]).strip().strip("'").replace("''", "'")
        yield source.count("\n", 0, match.start()) + 1, text


def _blocks(source: str, mark: str) -> Iterator[tuple[int, str]]:
    """Yield each run of lines that have a comment as one text."""
    block: list[str] = []
    for number, line in enumerate([*source.split("\n"), ""], 1):
        _, separator, comment = line.partition(f"{mark} ")
        if separator:
            block.append(comment.strip())
        elif block:
            yield number - len(block), " ".join(block)
            block = []


def _descriptions(source: str) -> Iterator[tuple[int, str]]:
    """Yield the descriptions in a template of YAML, on one line or folded over several."""
    pattern = r"^( *)(?:- )?description: +(?:>\n)?(.*(?:\n\1 +.*)*)"
    for match in re.finditer(pattern, source, re.MULTILINE):
        yield source.count("\n", 0, match.start()) + 1, match[2]


def _template(source: str) -> Iterator[tuple[int, str]]:
    """Yield the text of a Jinja template and of its labels, one per element."""
    source = re.sub(r"\{\{.*?\}\}", "X", re.sub(r"\{%.*?%\}", "", source))
    source = re.sub(r"<code>.*?</code>", " ", source)
    source = re.sub(r"</?(a|strong|span|em)\b[^>]*>", "", source)
    for number, line in enumerate(source.split("\n"), 1):
        for text in [*re.split(r"<[^>]*>", line), *re.findall(r'(?:title|label)="(.*?)"', line)]:
            yield number, text


def _markdown(source: str) -> Iterator[tuple[int, str]]:
    """Yield the lines and table cells of a document, without its code blocks."""
    hide = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
    source = hide.sub(lambda block: "\n" * block[0].count("\n"), source)
    source = re.sub(r"<[^>\n]*>|\*\*", "", source)
    source = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", source)
    for number, line in enumerate(source.split("\n"), 1):
        for text in line.split("|"):
            yield number, text.strip(" #*-")


def main(arguments: list[str]) -> None:
    """Print the hits of the named paths, or of all groups."""
    groups = {"": tuple(arguments)} if arguments else GROUPS
    for name, paths in groups.items():
        sys.stdout.write(f"{name} {measure((ROOT / path).resolve() for path in paths)}\n\n")


if __name__ == "__main__":
    main(sys.argv[1:])
