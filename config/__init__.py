"""One settings tree for every part of Celeriac, and the Celery configuration made from it."""

from config.settings import Settings, SettingsError, load_settings

__all__ = ["Settings", "SettingsError", "load_settings"]
