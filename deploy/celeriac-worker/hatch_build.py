"""Build hooks of the ``celeriac-worker`` distribution: its requirements, and its packages from the checkout's root."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("worker", "config", "models")
#: The extras that only make sense with a worker; `celeriac` lists the libraries of each.
_EXTRAS = ("flower", "otel", "prepare")


class Requirements(MetadataHookInterface):
    """The libraries are listed once, as extras of ``celeriac``, which must have the same version."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the requirements to the project's metadata."""
        version = metadata["version"]
        metadata["dependencies"] = [f"celeriac[worker]=={version}"]
        metadata["optional-dependencies"] = {extra: [f"celeriac[{extra}]=={version}"] for extra in _EXTRAS}


class Packages(BuildHookInterface[Any]):
    """The packages are not in this project's directory, where hatchling would find them by itself."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the packages to a wheel; an editable install finds them in the checkout.

        Raises:
            RuntimeError: a source distribution is built.
        """
        if self.target_name == "sdist":
            raise RuntimeError(
                "celeriac-worker has no source distribution, since its packages are outside its directory. "
                "Build the wheel from a checkout (pip wheel --no-deps ./deploy/celeriac-worker) or from the source "
                "distribution of celeriac, which contains the same files"
            )
        if version == "standard":
            build_data["force_include"].update({str(_ROOT / package): package for package in _PACKAGES})
