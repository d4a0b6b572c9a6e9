"""What the survey agent finds in a folder: its files, what is left to do in them, and how they came to be."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from app.survey_agent.git import run_git

if TYPE_CHECKING:
    from collections.abc import Iterable

REPORT = "SURVEY.md"
MOST_FILES = 5000
LARGEST_READ = 256 * 1024
MOST_FINDINGS = 100
SKIPPED = frozenset({".git", ".hg", "node_modules", ".venv", "venv", "__pycache__", "dist", "build"})
LANGUAGES = {
    ".py": "Python",
    ".js": "JavaScript",
    ".ts": "TypeScript",
    ".tsx": "TypeScript",
    ".go": "Go",
    ".rs": "Rust",
    ".java": "Java",
    ".c": "C",
    ".h": "C",
    ".cpp": "C++",
    ".rb": "Ruby",
    ".php": "PHP",
    ".cs": "C#",
    ".sh": "Shell",
    ".sql": "SQL",
    ".html": "HTML",
    ".css": "CSS",
    ".md": "Markdown",
    ".toml": "TOML",
}
CODE = frozenset(LANGUAGES) - {".md", ".toml", ".html", ".css"}
NOTE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b[:\s]*(.*)")
# What stands between backticks and looks like a path or a command.
NAMED_PATH = re.compile(r"`([\w.-]+(?:/[\w.-]*)+|[\w-]+\.[a-z]{2,4})`")
MAKE = re.compile(r"\bmake +([a-z][\w-]*)")


@dataclass(frozen=True)
class Finding:
    """One thing worth a look: where, what kind, and what it says."""

    path: str
    line: int
    kind: str
    text: str


@dataclass
class Survey:
    """What is known of a folder so far."""

    folder: Path
    is_repository: bool = False
    files: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    lines: Counter[str] = field(default_factory=Counter)
    read: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    authors: Counter[str] = field(default_factory=Counter)
    changed: list[str] = field(default_factory=list)

    @property
    def tests(self) -> list[str]:
        return [path for path in self.files if _is_test(path)]

    def list_files(self) -> list[str]:
        """The files of a folder that is no repository, at most `MOST_FILES`. Blocks."""
        found: list[str] = []
        for folder, folders, names in os.walk(self.folder):
            folders[:] = sorted(each for each in folders if each not in SKIPPED and not each.startswith("."))
            found += [Path(folder, name).relative_to(self.folder).as_posix() for name in sorted(names)]
            if len(found) >= MOST_FILES:
                break
        return found[:MOST_FILES]

    def take_files(self, paths: Iterable[str]) -> None:
        """Note the files that are there. Blocks."""
        for path in paths:
            if path == REPORT or len(self.files) >= MOST_FILES:
                continue
            try:
                found = (self.folder / path).lstat()
            except OSError:
                continue
            # A link may lead out of the folder.
            if stat.S_ISREG(found.st_mode):
                self.files.append(path)
                self.sizes[path] = found.st_size

    def worth_reading(self, most: int) -> list[str]:
        """The files to read: a README first, then code, the largest first, then the rest."""

        def rank(path: str) -> tuple[int, int, str]:
            suffix, name = Path(path).suffix.lower(), Path(path).name.lower()
            first = 0 if name.startswith("readme") else 1 if suffix in CODE else 2 if suffix in LANGUAGES else 3
            return first, -self.sizes[path], path

        return sorted((path for path in self.files if self.sizes[path] <= LARGEST_READ), key=rank)[:most]

    def read_file(self, path: str) -> str:
        """Read a file and note what is in it; an empty text for one that is no text. Blocks."""
        try:
            text = (self.folder / path).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return ""
        self.read.append(path)
        language = LANGUAGES.get(Path(path).suffix.lower())
        if language:
            self.lines[language] += text.count("\n") + 1
        for number, line in enumerate(text.splitlines(), start=1):
            note = NOTE.search(line)
            if note is not None:
                self._find(path, number, note[1], note[2].strip() or line.strip())
        if Path(path).suffix.lower() == ".md":
            self._check_names(path, text)
        return text

    def check_tests(self) -> None:
        """Note the code that was read and that no test names."""
        tests = "\n".join(self.tests).lower()
        if not self.files:
            return
        for path in self.read:
            stem = Path(path).stem.lower()
            code = Path(path).suffix.lower() in CODE and not _is_test(path) and not stem.startswith("__")
            if code and stem not in tests:
                self._find(path, 1, "no test", "No test is named after this file.")

    async def read_history(self, commits: int) -> str:
        """The newest commits as git shows them, and who made them."""
        shown = await run_git(self.folder, "log", f"-{commits}", "--format=%h %as %an: %s")
        if shown.code:
            return shown.output
        self.log = shown.lines
        self.authors = Counter(line.split(" ", 2)[2].partition(":")[0] for line in shown.lines if line.count(" ") > 1)
        return shown.output

    def _check_names(self, path: str, text: str) -> None:
        base = Path(path).parent
        folders = {part.as_posix() for each in self.files for part in Path(each).parents}
        known = {*self.files, *folders}
        names = {Path(each).name for each in self.files}
        for number, line in enumerate(text.splitlines(), start=1):
            for named in NAMED_PATH.findall(line):
                plain = named.strip("/").removeprefix("./")
                there = plain in known or (base / plain).as_posix() in known or ("/" not in plain and plain in names)
                if not there:
                    self._find(path, number, "missing", f"{named} is named, but it does not exist.")
            if MAKE.search(line) and "Makefile" not in self.files:
                self._find(path, number, "missing", f"make {MAKE.findall(line)[0]} is named, but there is no Makefile.")

    def _find(self, path: str, line: int, kind: str, text: str) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(path, line, kind, text[:200]))


def _is_test(path: str) -> bool:
    parts = Path(path.lower())
    return "tests" in parts.parts[:-1] or "test" in parts.parts[:-1] or parts.name.startswith("test_")
