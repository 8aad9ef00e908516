"""The client of the examples."""

from __future__ import annotations

from config import load_settings
from producer import Client

__all__ = ["connect"]


def connect(broker_url: str | None) -> Client:
    """A client of that server, or of those that the settings name: environment, ``.env``, ``celeriac.toml``.

    Raises:
        ValueError: the URL or a setting is wrong.
    """
    if broker_url:
        return Client(broker_url)
    settings = load_settings()
    return Client(settings.broker.url, settings.result_backend.url)
