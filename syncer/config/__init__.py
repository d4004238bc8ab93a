"""Typed configuration, from a TOML file and the environment."""

from syncer.config.authorities import trusted_authorities
from syncer.config.loading import load
from syncer.config.settings import (
    AccountSettings,
    CloudflareSettings,
    DatabaseSettings,
    DiscoverSettings,
    HealthSettings,
    LogSettings,
    RateLimit,
    RetentionSettings,
    ScheduleSettings,
    Settings,
    SyncSettings,
)

__all__ = [
    "AccountSettings",
    "CloudflareSettings",
    "DatabaseSettings",
    "DiscoverSettings",
    "HealthSettings",
    "LogSettings",
    "RateLimit",
    "RetentionSettings",
    "ScheduleSettings",
    "Settings",
    "SyncSettings",
    "load",
    "trusted_authorities",
]
