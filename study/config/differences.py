"""Differences between the settings of two studies."""

from __future__ import annotations

import json
from typing import Any


def differences(old: Any, new: Any, at: str = "") -> list[str]:
    """``key: was …, is …`` for everything that differs in two nested mappings."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        return [
            line
            for key in keys
            for line in differences(old.get(key), new.get(key), f"{at}.{key}" if at else str(key))
        ]
    return [] if old == new else [f"{at}: was {_plain(old)}, is {_plain(new)}"]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if item is not None}
    return "nothing" if value is None else json.dumps(value)
