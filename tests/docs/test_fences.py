"""The commands and Python of README and tutorial do what their pages show.

- `console`: lines that begin with `$ ` run in bash, in a folder of the page's own; each line shown below a command must
  appear in its output, in that order (`...` stands for anything, spaces count as one).
- `toml` that begins with `# NAME.toml` becomes that file.
- `python` runs in one namespace a page, in the same folder.
- `sh` and all else is only shown.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sybil.document import Document
from sybil.example import Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    path
    for path in ("README.md", "docs/tutorial.md", "docs/report.md", "docs/rank.md", "docs/make-or-buy.md")
    if (ROOT / path).is_file()
]


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Split a console fence into (command, lines shown below it); a command goes on after a backslash."""
    found: list[tuple[str, list[str]]] = []
    goes_on = False
    for line in text.splitlines():
        if goes_on:
            found[-1] = (f"{found[-1][0]}\n{line.removeprefix('> ')}", [])
        elif line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
        goes_on = (goes_on or line.startswith("$ ")) and line.endswith("\\")
    return found


def missing(shown: list[str], output: str) -> str | None:
    """Return the first shown line that does not follow in `output`."""
    lines = iter([" ".join(line.split()) for line in output.splitlines()])
    for line in shown:
        wanted = [" ".join(part.split()) for part in line.split("...")]
        if not any(wanted):
            continue
        for have in lines:
            at = 0
            for part in wanted:
                at = have.find(part, at) + len(part) if have.find(part, at) >= 0 else -1
                if at < 0:
                    break
            if at >= 0:
                break
        else:
            return line
    return None


def evaluate_console(example: Example) -> None:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "120",
        "NO_COLOR": "1",
        "TERM": "dumb",
    }
    for command, shown in commands(example.parsed):
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, env=environment, timeout=300, check=False
        )
        output = done.stdout + done.stderr
        assert done.returncode == 0 or "exit code" in " ".join(shown), f"$ {command}\n{output}"
        line = missing([line for line in shown if "exit code" not in line], output)
        assert line is None, f"$ {command}\nshown but not printed: {line!r}\nprinted:\n{output}"


def evaluate_toml(example: Example) -> None:
    first = example.parsed.splitlines()[0]
    if first.startswith("# ") and first.endswith(".toml"):
        Path(first[2:]).write_text(example.parsed, encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_page_does_what_it_shows(page, tmp_path, monkeypatch):
    parsers = (
        CodeBlockParser(language="console", evaluator=evaluate_console),
        CodeBlockParser(language="toml", evaluator=evaluate_toml),
        PythonCodeBlockParser(),
    )
    document = Document.parse(str(ROOT / page), *parsers)
    monkeypatch.chdir(tmp_path)
    for example in document.examples():
        example.evaluate()


def test_a_line_that_is_not_printed_is_noticed():
    assert missing(["a  b", "...", "c ... e"], "x a b\nyy\nc d e\n") is None
    assert missing(["b", "a"], "a\nb\n") == "a"
    assert commands("$ one \\\n> two\nout\n$ three\n") == [("one \\\ntwo", ["out"]), ("three", [])]
