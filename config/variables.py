"""The environment variables that settings are read from, and what is wrong with one that none reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

__all__ = ["CONFIG_FILE_VARIABLE", "ENV_PREFIX", "known_variables", "no_such_setting", "variable", "wrong_variables"]

ENV_PREFIX = "CELERIAC_"
CONFIG_FILE_VARIABLE = "CELERIAC_CONFIG_FILE"


def variable(*path: str) -> str:
    """The variable of a setting: ``CELERIAC_CORES_PER_PROCESS`` for ``cores``, ``per_process``."""
    return ENV_PREFIX + "_".join(path).upper()


def known_variables(settings: type[BaseModel]) -> list[str]:
    """The variable of every setting, and those of the groups, each of which takes its settings as a JSON object."""
    groups = [variable(name) for name, field in settings.model_fields.items() if _group(field)]
    return [*_variables(settings), *groups, CONFIG_FILE_VARIABLE]


def no_such_setting(name: str, settings: type[BaseModel]) -> str:
    """What is wrong with ``name``, and which variable was most likely meant."""
    # Without the prefix, which all share and which would make everything alike.
    short = [known.removeprefix(ENV_PREFIX) for known in (*_variables(settings), CONFIG_FILE_VARIABLE)]
    close = get_close_matches(name.removeprefix(ENV_PREFIX), short, n=1)
    return "there is no such setting" + (f"; did you mean {ENV_PREFIX}{close[0]}?" if close else "")


def wrong_variables(settings: type[BaseModel], values: Mapping[str, str | None]) -> Iterator[str]:
    """What pydantic would blame on another place than the variable that has it, each with the variable's name.

    Args:
        settings: the settings tree.
        values: variables with their values; names in any case, other programs' variables among them.
    """
    for name, field in settings.model_fields.items():
        own = variable(name)
        for given, value in values.items():
            if _group(field) and given.upper() == own and not _is_object(value):
                parts = ", ".join(_variables(field.annotation, name))
                yield f"{own}: is a group of settings and takes a JSON object; its settings are {parts}"
            # What stands below a list is read as if the list were a group.
            elif get_origin(field.annotation) is list and given.upper().startswith(f"{own}_"):
                yield f"{given.upper()}: {no_such_setting(given.upper(), settings)}"


def _variables(model: Any, *path: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if _group(field):
            yield from _variables(field.annotation, *path, name)
        else:
            yield variable(*path, name)


def _group(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _is_object(value: str | None) -> bool:
    try:
        return isinstance(json.loads(value or ""), dict)
    except ValueError:
        return False
