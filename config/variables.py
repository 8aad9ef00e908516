"""The environment variables of the settings, and what is wrong with variables that no setting reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import TypeGuard, get_origin

from pydantic import BaseModel

__all__ = [
    "CONFIG_FILE_VARIABLE",
    "ENV_PREFIX",
    "find_wrong_variables",
    "known_variables",
    "unknown_setting_message",
    "variable_name",
]

ENV_PREFIX = "CELERIAC_"
CONFIG_FILE_VARIABLE = "CELERIAC_CONFIG_FILE"


def variable_name(*path: str) -> str:
    """The variable of a setting: ``CELERIAC_CORES_PER_PROCESS`` for ``cores``, ``per_process``."""
    return ENV_PREFIX + "_".join(path).upper()


def known_variables(settings: type[BaseModel]) -> list[str]:
    """The variables of all settings, and those of the groups, which take a JSON object with the group's settings."""
    groups = [variable_name(name) for name, annotation in _annotations(settings) if _is_group(annotation)]
    return [*_setting_variables(settings), *groups, CONFIG_FILE_VARIABLE]


def unknown_setting_message(name: str, settings: type[BaseModel]) -> str:
    """Say that ``name`` is not the variable of a setting, and suggest the closest one that is."""
    # The prefix, which all share, would make all names similar.
    known = [other.removeprefix(ENV_PREFIX) for other in (*_setting_variables(settings), CONFIG_FILE_VARIABLE)]
    close = get_close_matches(name.removeprefix(ENV_PREFIX), known, n=1)
    return "there is no such setting" + (f"; did you mean {ENV_PREFIX}{close[0]}?" if close else "")


def find_wrong_variables(settings: type[BaseModel], values: Mapping[str, str | None]) -> Iterator[str]:
    """Find the wrong variables that pydantic would report without their names.

    Args:
        settings: the settings tree.
        values: variables and their values. Names may be in any case, and those of other programs are ignored.

    Yields:
        A message for each, which begins with the variable's name.
    """
    for name, annotation in _annotations(settings):
        own = variable_name(name)
        for given, value in values.items():
            if _is_group(annotation) and given.upper() == own and not _is_json_object(value):
                members = ", ".join(_setting_variables(annotation, name))
                yield f"{own}: is a group of settings and takes a JSON object; its settings are {members}"
            # pydantic-settings reads the variables that extend a list's name as if the list were a group.
            elif get_origin(annotation) is list and given.upper().startswith(f"{own}_"):
                yield f"{given.upper()}: {unknown_setting_message(given.upper(), settings)}"


def _setting_variables(model: type[BaseModel], *path: str) -> Iterator[str]:
    for name, annotation in _annotations(model):
        if _is_group(annotation):
            yield from _setting_variables(annotation, *path, name)
        else:
            yield variable_name(*path, name)


def _annotations(model: type[BaseModel]) -> Iterator[tuple[str, object]]:
    for name, field in model.model_fields.items():
        yield name, field.annotation


def _is_group(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_json_object(value: str | None) -> bool:
    try:
        return isinstance(json.loads(value or ""), dict)
    except ValueError:
        return False
