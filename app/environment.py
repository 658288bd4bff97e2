"""Reads settings from environment variables, or from the files that `<NAME>_FILE` variables name."""

import os
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

_FILE_SUFFIX = "_FILE"


class SettingsError(Exception):
    """A setting that cannot be used; `str(error)` is one line that names it and the way out."""


class _SecretFileSource(PydanticBaseSettingsSource):
    """`NAME_FILE` holds the path of a file whose content, stripped, is the value of `NAME`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        name = variable_name(self.settings_cls, field_name)
        path = os.environ.get(name + _FILE_SUFFIX)
        if path is None:
            return None, field_name, False
        if name in os.environ:
            raise SettingsError(f"{name} and {name}{_FILE_SUFFIX} are both set; set one of them")
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}{_FILE_SUFFIX}: cannot read {path}: {error}") from error

    def __call__(self) -> dict[str, Any]:
        found = {}
        for field_name, field in self.settings_cls.model_fields.items():
            value, _, _ = self.get_field_value(field, field_name)
            if value is not None:
                found[field_name] = value
        return found


class EnvironmentModel(BaseSettings):
    """A frozen model whose fields are read from the environment."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        assert isinstance(env_settings, EnvSettingsSource)  # noqa: S101 - for the type checker
        return init_settings, env_settings, _SecretFileSource(settings_cls)

    @classmethod
    def from_environment(cls, **overrides: Any) -> Self:
        """The model as the environment sets it; None among `overrides` means not overridden.

        Raises SettingsError naming the first variable that is wrong.
        """
        try:
            return cls(**{name: value for name, value in overrides.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            name = variable_name(cls, str(first["loc"][0]))
            reason = first["msg"].removeprefix("Value error, ")
            raise SettingsError(f"{name}: {reason[0].lower()}{reason[1:]}") from error


def variable_name(model: type[BaseSettings], field_name: str) -> str:
    """The environment variable that sets a field."""
    return (str(model.model_config.get("env_prefix") or "") + field_name).upper()
