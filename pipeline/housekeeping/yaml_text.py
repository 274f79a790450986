"""Edits of a YAML text, one key at a time: other lines, comments and the order stay as they are.

A key is given with the keys of its sections; KeyError if it is not written out in the text. New
values come from another text, and as parsed.
"""

import textwrap
from functools import cache, reduce
from operator import getitem
from typing import Any

import yaml

Keys = tuple[str, ...]
Pair = tuple[yaml.Node, yaml.Node]


def value_at(values: Any, keys: Keys) -> Any:
    """A value in nested sections."""
    return reduce(getitem, keys, values)


def in_one_line(values: dict[str, Any]) -> str:
    """Keys and values as they stand in a flow mapping, {key: value, ...}."""
    dumped: str = yaml.safe_dump(values, default_flow_style=True, width=float("inf"))
    return dumped.strip()[1:-1]


def replace(text: str, keys: Keys, other: str, value: Any) -> str:
    """Take a key's value from another text: a section with its comments, a number without."""
    here, there = _find(text, keys), _find(other, keys)
    lines = text.splitlines()
    if isinstance(there[1], yaml.MappingNode):
        theirs = other.splitlines()
        lines[_rows(lines, here)] = theirs[_rows(theirs, there)]
    else:
        start, end = here[1].start_mark, here[1].end_mark
        new = lines[start.line][: start.column] + str(value)
        behind = lines[start.line][end.column :].lstrip()
        lines[start.line] = new.ljust(len(lines[start.line]) - len(behind)) + behind
    return _join(lines)


def insert(text: str, keys: Keys, other: str, value: Any) -> str:
    """Put in a key as another text has it, comments included, behind its neighbours there."""
    section, model, key = _section(text, keys[:-1]), _section(other, keys[:-1]), keys[-1]
    own, names = _pairs(section), list(_pairs(model))
    ahead = [own[name] for name in names[: names.index(key)] if name in own]
    entry = in_one_line({key: value})
    if section.flow_style:
        place = ahead[-1][1].end_mark.index if ahead else section.start_mark.index + 1
        return text[:place] + (f", {entry}" if ahead else f"{entry}, ") + text[place:]
    lines, theirs, first = text.splitlines(), other.splitlines(), section.value[0][0]
    if not model.flow_style:
        pair = _pairs(model)[key]
        block = theirs[_row_above(theirs, pair[0]) : _rows(theirs, pair).stop]
        entry = textwrap.dedent(_join(block))
    place = _rows(lines, ahead[-1]).stop if ahead else _row_above(lines, first)
    lines[place:place] = textwrap.indent(entry, " " * first.start_mark.column).splitlines()
    return _join(lines)


def remove(text: str, keys: Keys) -> str:
    """Remove a key with its value and the comments behind it."""
    section, pair = _section(text, keys[:-1]), _find(text, keys)
    if section.flow_style:
        ahead, behind = text[: pair[0].start_mark.index], text[pair[1].end_mark.index :].lstrip()
        if behind.startswith(","):
            return ahead + behind[1:].lstrip()
        return ahead.rstrip().removesuffix(",") + behind
    lines = text.splitlines()
    del lines[_rows(lines, pair)]
    return _join(lines)


@cache
def _root(text: str) -> Any:
    return yaml.compose(text, yaml.SafeLoader)


def _section(text: str, keys: Keys) -> Any:
    return reduce(lambda section, key: _pairs(section)[key][1], keys, _root(text))


def _pairs(section: yaml.MappingNode) -> dict[str, Pair]:
    return {key.value: (key, value) for key, value in section.value}


def _find(text: str, keys: Keys) -> Pair:
    return _pairs(_section(text, keys[:-1]))[keys[-1]]


def _rows(lines: list[str], pair: Pair) -> slice:
    """Lines of a key, its value and the comments behind it, which are indented deeper than it."""
    key, value = pair
    while isinstance(value, yaml.CollectionNode) and not value.flow_style:
        last = value.value[-1]
        value = last[1] if isinstance(last, tuple) else last
    stop = value.end_mark.line + (value.end_mark.column > 0)
    for row in range(stop, len(lines)):
        if lines[row]:
            if _comment_column(lines[row]) <= key.start_mark.column:
                break
            stop = row + 1
    return slice(key.start_mark.line, stop)


def _row_above(lines: list[str], key: yaml.Node) -> int:
    """First of the comments right above a key, and of a blank line above these."""
    row = key.start_mark.line
    while row and _comment_column(lines[row - 1]) == key.start_mark.column:
        row -= 1
    return row - (row > 0 and not lines[row - 1])


def _comment_column(line: str) -> int:
    """Column of a comment that has a line of its own; -1 for other lines."""
    return line.index("#") if line.lstrip().startswith("#") else -1


def _join(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
