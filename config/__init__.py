"""One settings tree for every part of Celeriac, and the Celery configuration made from it."""

from config.celery_options import celery_options
from config.settings import Settings, SettingsError, load_settings

__all__ = ["Settings", "SettingsError", "celery_options", "load_settings"]
