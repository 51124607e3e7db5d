"""The configuration of this broker: each setting with its value and its source. Secrets are never shown."""

from collections.abc import Mapping

from broker.core.settings import BrokerSettings
from broker.core.settings_schema import settings_of
from broker.models.doctor import SettingInForce, Source

HIDDEN = "(hidden)"


def in_force(settings: BrokerSettings, sources: Mapping[str, Source]) -> list[SettingInForce]:
    """Every setting, in order. One whose source is not known has its default, or was set by the program."""
    return [
        SettingInForce(
            setting=setting.name,
            value=HIDDEN if setting.secret and getattr(settings, setting.name) else getattr(settings, setting.name),
            source=sources.get(setting.name, "default"),
            variable=setting.variable,
            description=setting.description,
        )
        for setting in settings_of(BrokerSettings)
    ]
