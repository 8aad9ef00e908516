"""The manifests as kustomize builds them, without kustomize: resources with the patches that are laid over them.

Only as much of a strategic merge as the files use; `test_kubernetes.py` compares it with `kubectl kustomize` where
there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

__all__ = ["KUBERNETES", "Manifest", "build", "documents", "kustomization"]

KUBERNETES = Path(__file__).resolve().parents[1] / "deploy" / "kubernetes"

Manifest = dict[str, Any]

#: By what elements of these lists are told apart when lists of two files are merged; other lists are replaced.
_KEYS = {"containers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath", "ports": "containerPort"}


def documents(path: Path) -> list[Manifest]:
    """What a file holds."""
    return list(YAML(typ="safe").load_all(path))


def kustomization(directory: Path) -> Manifest:
    """What a directory is made of."""
    (found,) = documents(directory / "kustomization.yaml")
    return found


def build(directory: Path, components: tuple[str, ...] = ()) -> list[Manifest]:
    """The resources of a directory and of components beside it, patched."""
    built: list[Manifest] = []
    for part in (directory, *(KUBERNETES / name for name in components)):
        made_of = kustomization(part)
        for name in made_of.get("resources", []):
            built += build(part / name) if (part / name).is_dir() else documents(part / name)
        for patch in made_of.get("patches", []):
            (over,) = documents(part / patch["path"])
            for manifest in _selected(built, patch["target"]):
                name = manifest["metadata"]["name"]
                manifest.update(_merge(manifest, over))
                manifest["metadata"]["name"] = name
    return built


def _selected(manifests: list[Manifest], target: Manifest) -> Iterator[Manifest]:
    wanted = dict(label.split("=") for label in target["labelSelector"].split(","))
    for manifest in manifests:
        labels = manifest["metadata"].get("labels", {})
        if manifest["kind"] == target["kind"] and wanted.items() <= labels.items():
            yield manifest


def _merge(under: Any, over: Any, key: str = "") -> Any:
    if isinstance(under, dict) and isinstance(over, dict):
        merged = {name: _merge(under[name], over[name], name) if name in over else under[name] for name in under}
        return {**merged, **{name: value for name, value in over.items() if name not in under}}
    if isinstance(under, list) and isinstance(over, list) and key in _KEYS:
        by = _KEYS[key]
        before = {element[by]: element for element in under}
        merged_list = [_merge(before.pop(element[by], {}), element) for element in over]
        return [*merged_list, *before.values()]
    return over
