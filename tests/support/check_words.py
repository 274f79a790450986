"""Check of names and sentences against the glossary of docs/architecture.md; part of `make lint`.

    python tests/support/check_words.py [FILE OR FOLDER ...]

Reads Python files (docstrings, texts of two words or more, names of functions), Markdown and
params.yaml. Prints one line a finding, as FILE:LINE: what is wrong and what to say instead, and
exits with 1 if there is any. A line that needs the word all the same ends in `# words: ok`.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("gan", "pipeline", "docs", "README.md", "CONTRIBUTING.md", "params.yaml", "faces",
          "weights", "pretrained")  # fmt: skip
OK = "words: ok"

INSTEAD = {
    r"optimisers? remembers?": "optimiser state",
    r"(looks?|looked|looking) at (the )?(real )?(images|pictures|fakes|reals)": "extract features",
    r"who looks|are looked at": "feature extractor; extract features",
    r"lots? of (fakes|generated)": "sample set",
    r"endless(ly)?": "FID-infinity, extrapolated to infinite sample size",
    r"differentiated twice": "double backward",
    r"(copy|stream) (on a stream )?of its own": "asynchronous host-to-device copy",
    r"(compute )?what one (process )?would": "synchronised batch norm",
    r"(goes|going|went|go) on (where|from|with|at|bit|behind|after)": "resume",
    r"(same command|training|run|crawl) (goes|went) on": "resume",
    r"(is|are|be|was|were) told": "reported",
    r"(put right|mends?|mended|mending)": "repair",
    r"frechet, infinity|infinity, kernel|kernel, manifold": "ids of evaluate.metrics",
    r"MLflow('s)? rows?|rows? (of|in) MLflow": "MLflow run",
    r"rows? of (the |its |a )?(training|run)": "MLflow run",
    r"(the )?(training|run)'s (own )?row": "MLflow run",
    r"manifest('s)? rows?|rows? of (the |a )?manifest": "manifest entry",
    r"raw snapshot|snapshot of (the )?(raw|data)": "dataset",
    r"spool(s|ed|ing)?": "run folder; crawl journal",
}
"""What is not said, as a regular expression of whole words; what is said instead."""

PARTICIPLES = {
    "told", "shown", "said", "made", "known", "found", "kept", "seen", "held", "drawn", "written",
    "given", "taken", "chosen", "begun", "hidden", "bound", "left", "lost", "met", "sent", "built",
    "thrown", "worn", "cut_off", "broken", "brought", "bought", "caught", "heard", "hired",
}  # fmt: skip
NO_PARTICIPLE = {"need", "speed", "seed", "feed", "embed", "exceed", "proceed", "shed", "bed"}

PATTERNS = {
    re.compile(rf"(?<![\w/-])(?:{bad})(?![\w-])", re.I): good for bad, good in INSTEAD.items()
}
QUESTION = re.compile(r"(What|Who|Which|Whose|Whom)\b")

Finding = tuple[int, str]


def check_text(text: str, first_line: int) -> Iterator[Finding]:
    """Findings in prose; a sentence may run over lines."""
    flat = re.sub(r"\s", " ", text)
    for pattern, instead in PATTERNS.items():
        for match in pattern.finditer(flat):
            line = first_line + text.count("\n", 0, match.start())
            yield line, f"{match[0]!r}: say {instead!r}"


def check_python(text: str) -> Iterator[Finding]:
    """Findings in docstrings, other texts and names of functions."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring and QUESTION.match(docstring):
                line = 1 if isinstance(node, ast.Module) else node.lineno
                yield (
                    line,
                    f"docstring begins with {docstring.split()[0]}: name the thing, or what to do",
                )
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _check_name(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield from check_text(node.value, node.lineno)


def _check_name(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Finding]:
    if any("property" in ast.unparse(each) for each in node.decorator_list):
        return
    words = node.name.strip("_").split("_")
    first, last = words[0], words[-1]
    bare = first in PARTICIPLES or (first.endswith("ed") and first not in NO_PARTICIPLE)
    if bare and not (len(words) > 1 and last in ("from", "by")):
        yield node.lineno, f"function {node.name}: begin its name with a verb"


def check_file(path: Path) -> Iterator[Finding]:
    """Findings in one file, in the order of lines."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    found = check_python(text) if path.suffix == ".py" else check_text(text, 1)
    for number, problem in sorted(found):
        if OK not in lines[min(number, len(lines)) - 1]:
            yield number, problem


def files(places: list[str]) -> Iterator[Path]:
    """Files of the places, folders searched."""
    for place in places:
        path = ROOT / place
        if path.is_dir():
            yield from sorted(f for f in path.rglob("*") if f.suffix in (".py", ".md"))
        elif path.is_file():
            yield path


def main() -> int:
    """Check the places named, or all; returns the exit code."""
    count = 0
    for path in files(sys.argv[1:] or list(PLACES)):
        for number, problem in check_file(path):
            print(f"{path.relative_to(ROOT)}:{number}: {problem}")  # noqa: T201
            count += 1
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
