"""Plain values that decide a training: their digest, dotted keys and differences."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any


def digest_of(values: Mapping[str, Any]) -> str:
    """sha256 of plain values, independent of the order of keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def resume_key(identity: Mapping[str, Any]) -> str:
    """Name of the progress folder of all trainings of an identity, which may differ in length."""
    return digest_of(identity)[:16]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """List differences between nested plain values: "key: there -> here"."""
    there, here = flatten(there), flatten(here)
    return [
        f"{key}: {_shorten(there.get(key))} -> {_shorten(here.get(key))}"
        for key in sorted(set(here) | set(there))
        if there.get(key) != here.get(key)
    ]


def _shorten(value: Any) -> Any:
    """Cut a sha256 to digits that tell it from others."""
    return value[:12] if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) else value
