"""The pages for people name files, folders and headings that exist, and the rooms as they are."""

import re
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.test_rooms import OPEN, ORDER
from training.artifact.layout import CARD, GRAPH, own_files

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in ("docs", *ORDER) for page in (ROOT / folder).rglob("*.md"))])
NAMING = {"README.md": ".", "CONTRIBUTING.md": ".", "docs/architecture.md": ".", "docs/local.md": "local"}
"""Pages that name files of the project, each with the folder that the names begin at if not at the root."""

SUFFIXES = {".css", ".html", ".json", ".md", ".mjs", ".py", ".sh", ".svg", ".toml", ".txt", ".yaml", ".yml"}
PATH = re.compile(r"[\w.*-]+(/[\w.*-]+)*/?")
NOT_OURS = {"application/json", "application/problem+json"}

ARTIFACT = {GRAPH, CARD, *own_files()}


def without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def paths(page: Path) -> Iterator[str]:
    """Yield what a page names in backticks that looks like a path: with a slash, or with the suffix of a source."""
    for span in re.findall(r"`([^`\n]+)`", without_code(page)):
        name = re.sub(r"<\w+>", "*", span)
        if PATH.fullmatch(name) and ("/" in name or Path(name).suffix in SUFFIXES) and name not in NOT_OURS:
            yield name


def made_by_make(name: str) -> bool:
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.startswith("/")]
    return any(fnmatch(Path(name).parts[0], pattern) for pattern in ignored)


def in_artifact(name: str) -> bool:
    return any(member == name or member.startswith(f"{name.rstrip('/')}/") for member in ARTIFACT)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: Counter[str] = Counter()
    result = set()
    for heading in re.findall(r"^#{1,6} (.+)$", without_code(page), flags=re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w -]", "", text).replace(" ", "-")
        result.add(f"{slug}-{found[slug]}" if found[slug] else slug)
        found[slug] += 1
    return result


def order(room: str) -> str:
    """Return the floors of a room as CONTRIBUTING.md writes them."""
    floors = [["(top)" if name == "." else name for name in floor] for floor in ORDER[room]]
    return " <- ".join(floor[0] if len(floor) == 1 else f"{{{', '.join(floor)}}}" for floor in floors)


@pytest.mark.parametrize("page", NAMING)
def test_every_path_that_a_page_names_exists(page: str) -> None:
    named = [name for name in paths(ROOT / page) if not made_by_make(name)]
    assert named
    folders = (ROOT, ROOT / NAMING[page])
    missing = {name for name in named if not in_artifact(name) and not any(any(f.glob(name)) for f in folders)}
    assert missing == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def links(page: Path) -> set[Path]:
    """Return the files of the project that a page links to."""
    targets = re.findall(r"\]\(([^)\s#]+)", without_code(page))
    return {(page.parent / target).resolve() for target in targets if not re.match(r"[a-z]+:", target)}


@pytest.mark.parametrize("room", [*ORDER, "bench"])
@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_every_room_has_its_page_to_which_the_first_pages_link(page: str, room: str) -> None:
    assert ROOT / "docs" / f"{room}.md" in links(ROOT / page)


def test_the_readme_links_to_every_page() -> None:
    assert {page for page in PAGES if page.name != "README.md"} <= links(ROOT / "README.md") | {ROOT / "CHANGELOG.md"}


def test_architecture_describes_every_folder_of_every_room() -> None:
    described = set(re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", (ROOT / "docs/architecture.md").read_text(), re.M))
    rows = {name.strip("`") for row in described for name in row.split(", ")}
    for room, floors in ORDER.items():
        assert f"{room}/" in (ROOT / "docs/architecture.md").read_text()
        for name in (name for floor in floors for name in floor if name != "."):
            assert f"{room}/{name}/" in rows


def test_architecture_lists_the_folders_of_a_room_in_import_order() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    for room, floors in ORDER.items():
        listed: list[str] = re.findall(rf"^\| `{room}/([\w/]+)/` \|", text, re.MULTILINE)
        number = {name: floor for floor, names in enumerate(floors) for name in names}
        assert listed == sorted(listed, key=number.__getitem__)


def test_architecture_names_every_file_of_the_artifact() -> None:
    (tree,) = re.findall(r"^```\nmodel\.tar\.gz\n(.*?)^```", (ROOT / "docs/architecture.md").read_text(), re.M | re.S)
    named = set(re.findall(r"── (\S+)", tree))
    for member in ARTIFACT:
        folder, _, name = member.rpartition("/")
        assert name in named if folder in ("", "code") else f"{Path(folder).name}/" in named, member


def test_contributing_has_the_order_that_the_rooms_keep() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for room in ORDER:
        assert f"| `{room}/` | `{order(room)}` |" in text
    doors = [(room, name) for room, names in OPEN.items() for name in names]
    for room, name in doors:
        if (ROOT / room).exists() and (ROOT / name).exists():
            assert f"`{room if room.endswith('.py') else f'{room}/'}` imports `{name}/`" in text
