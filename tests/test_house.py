"""Small tests that keep the house in order: which room may import which, how much code there is, links that lead somewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "octothinker"

FLOORS = [
    {"config", "typed", "records", "native"},
    {"model", "grade"},
    {"data", "corpus"},
    {"train", "rl", "evals"},
    {"insight", "report"},
    {"stage", "order", "graph", "corpus_graph", "corpus_rank", "plan", "runner", "recipes", "bench", "cli"},
]
ANYWHERE = {"__init__", "__main__"}
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

MAX_FILE, MAX_FUNCTION, MAX_LOOP, MAX_PACKAGE = 500, 80, 200, 19_600
LOOPS = {"midtrain_stage", "rl_stage"}  # they read top to bottom; cut in pieces they would not


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(text: str) -> Iterator[str]:
    """Rooms that a source text imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(text)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide their room"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "octothinker" and len(parts) > 1 and parts[1] in FLOOR:
                yield parts[1]


def test_every_room_has_a_floor() -> None:
    assert {room(f) for f in sources()} - ANYWHERE <= set(FLOOR)


@pytest.mark.parametrize("file", sources(), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_go_down(file: Path) -> None:
    here = room(file)
    if here in ANYWHERE:
        return
    up = [other for other in imported_rooms(file.read_text()) if FLOOR[other] > FLOOR[here]]
    assert not up, f"{here} is on floor {FLOOR[here]} and imports {up} from above (DESIGN: one way)"


def test_rooms_of_one_floor_do_not_import_in_circles() -> None:
    edges: dict[str, set[str]] = {name: set() for name in FLOOR}
    for file in sources():
        if room(file) not in ANYWHERE:
            edges[room(file)] |= set(imported_rooms(file.read_text())) - {room(file)}
    placed: set[str] = set()
    while len(placed) < len(edges):
        free = {name for name, needs in edges.items() if name not in placed and needs <= placed}
        assert free, (
            f"a circle among {sorted(set(edges) - placed)}: { {k: v - placed for k, v in edges.items() if k not in placed} }"
        )
        placed |= free


def test_the_direction_test_can_fail() -> None:
    assert list(imported_rooms("def f():\n    from octothinker.rl.loop import x")) == ["rl"]
    assert list(imported_rooms("import octothinker.cli.app\nfrom octothinker import plan, runner")) == [
        "cli",
        "plan",
        "runner",
    ]


@pytest.mark.parametrize("file", sources(), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(file: Path) -> None:
    text = file.read_text()
    assert text.count("\n") < MAX_FILE, f"{file.name}: split it, {MAX_FILE} lines are the limit, 300 the habit"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or 0) - node.lineno + 1
            limit = MAX_LOOP if node.name in LOOPS else MAX_FUNCTION
            assert lines <= limit, f"{file.name}: {node.name} has {lines} lines, over {limit}"


def test_the_whole_stays_small() -> None:
    total = sum(bool(line.strip()) for f in sources() for line in f.read_text().splitlines())
    assert total <= MAX_PACKAGE, f"{total} lines of library (blank ones apart): a feature that no recipe uses goes out"


# ---- links ------------------------------------------------------------------------------------------------------------


def symbols(file: Path) -> set[str]:
    """Names that a Python file defines: functions, classes, `Class.member`, assignments."""

    def within(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield prefix + node.name
                if isinstance(node, ast.ClassDef):
                    yield from within(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield prefix + node.target.id
            elif isinstance(node, ast.Assign):
                yield from (prefix + target.id for target in node.targets if isinstance(target, ast.Name))

    return set(within(ast.parse(file.read_text()).body, ""))


def broken_links(text: str, folder: Path) -> list[str]:
    """References of a Markdown text that lead nowhere: `path.py::symbol`, `path/file.py`, and [relative](links).

    Paths in backticks are seen from the repository or from the package.
    """
    broken = []
    for path, _, symbol in re.findall(r"`([\w./-]+\.py)(::([\w.]+))?`", text):
        places = [base / path for base in (ROOT, PACKAGE) if (base / path).is_file()]
        if not places or (symbol and symbol not in symbols(places[0])):
            broken.append(f"{path}::{symbol}" if symbol else path)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:|#", target) and not (folder / target.partition("#")[0]).exists():
            broken.append(target)
    return broken


def test_broken_links_are_found() -> None:
    good = (
        "`octothinker/stage.py::Stage.key` `stage.py::execute` `cli/app.py` `tests/test_house.py::ROOT` [x](Makefile)"
    )
    assert broken_links(good, ROOT) == []
    bad = "`stage.py::Stage.kee` `stagee.py` `stage.py::exekute` [x](Makefil) [y](https://nowhere)"
    assert broken_links(bad, ROOT) == ["stage.py::Stage.kee", "stagee.py", "stage.py::exekute", "Makefil"]


@pytest.mark.parametrize(
    "name", sorted(str(f.relative_to(ROOT)) for f in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
)
def test_links_of_the_documents_lead_somewhere(name: str) -> None:
    file = ROOT / name
    assert broken_links(file.read_text(), file.parent) == []


def test_the_paper_map_ties_claims_to_code_and_tests() -> None:
    text = (ROOT / "docs" / "paper_map.md").read_text()
    references = re.findall(r"`([\w./-]+\.py)::[\w.]+`", text)
    assert len(references) >= 20, "each claim, table and hyper-parameter -> recipe -> function -> test"
    assert any(path.startswith("tests/") for path in references)


def test_nothing_of_a_user_is_unpickled_or_evaluated() -> None:
    """Model text and users' files are data: no pickle, no eval, no exec, no torch.load anywhere in the package."""
    found = []
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name in {"eval", "exec", "compile", "pickle.load", "pickle.loads", "torch.load"}:
                    found.append(f"{file.name}:{node.lineno} {name}")
    assert found == []


def test_the_lock_pins_everything_the_project_names() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if line and not line.startswith("#")
    }
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["dev"], *extras["import"]]
    names = {re.split(r"[=<>\[ ]", text)[0].lower().replace("_", "-") for text in wanted}
    assert names - pinned == set()
    lock = (ROOT / "requirements.lock").read_text()
    assert "torch==2.13.0\n" in lock, "without a local version: the same pin takes a CPU build or brings CUDA"
    assert all("==" in line for line in lock.splitlines() if line and not line.startswith("#"))
