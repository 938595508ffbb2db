"""Settings: one TOML file a profile, every key overridable by environment.

`ZIPP_PROFILE` names a packaged profile (sample, paper, cluster) or a TOML file. `ZIPP_ENCODER__HIDDEN=128`
overrides `hidden` of section `[encoder]`. This is the only module that knows profiles.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as UnreadableVariable

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.graph.config import GraphSettings
from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.persona.config import PersonaSettings, SnippetSettings
from zipp_dagster.platform.config import (
    ComputeSettings,
    LakeSettings,
    MlflowSettings,
    OperationSettings,
    ServerSettings,
)
from zipp_dagster.reddit.config import RedditSettings
from zipp_dagster.reddit.warehouse_config import WarehouseSettings
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.section import Section
from zipp_dagster.studio.config import RaterSettings, StudioSettings
from zipp_dagster.zipbench.config import (
    AblationSettings,
    JudgeSettings,
    MethodSettings,
    PromotionSettings,
    ZipbenchSettings,
)

PREFIX = "ZIPP_"
EXTENDS = "extends"
"""First line of a profile that is another profile with some values changed."""
PROFILES = Path(__file__).parent / "profiles"
_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^/\s]*@")
"""The password of an address, such as postgresql://user:password@host."""


class SettingsError(Exception):
    """A setting is unknown or out of range; the message says where it was set and what is allowed."""


class _Environment(EnvSettingsSource):
    """The environment, where `ZIPP_COMPUTE=ray` names the engine of that section."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        if field_name == "compute" and not value.lstrip().startswith("{"):
            return {"engine": value}
        return super().decode_complex_value(field_name, field, value)


class Settings(BaseSettings):
    """All settings of a run: where things are, and one section a stage."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,  # an empty path is no path, not the working directory
        frozen=True,
        extra="forbid",
    )

    profile: str = Field(
        "sample",
        description="A packaged profile (sample, paper, cluster), or the path of a TOML file.",
    )
    home: Path = Field(
        Path(".zipp"), description="Folder of the lake, Dagster, MLflow and reports."
    )
    sampleworld: WorldSettings = WorldSettings()
    reddit: RedditSettings = RedditSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    graph: GraphSettings = GraphSettings()
    encoder: EncoderSettings = EncoderSettings()
    imaging: ImagingSettings = ImagingSettings()
    snippets: SnippetSettings = SnippetSettings()
    persona: PersonaSettings = PersonaSettings()
    zipbench: ZipbenchSettings = ZipbenchSettings()
    methods: MethodSettings = MethodSettings()
    ablation: AblationSettings = AblationSettings()
    judge: JudgeSettings = JudgeSettings()
    promotion: PromotionSettings = PromotionSettings()
    lake: LakeSettings = LakeSettings()
    mlflow: MlflowSettings = MlflowSettings()
    compute: ComputeSettings = ComputeSettings()
    server: ServerSettings = ServerSettings()
    studio: StudioSettings = StudioSettings()
    raters: RaterSettings = RaterSettings()
    operation: OperationSettings = OperationSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before the profile's file, which `load_settings` passes in."""
        return (_Environment(settings_cls), init_settings)

    def section(self, kind: type[Section]) -> Section:
        """The section of a given class."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if type(value) is kind:
                return value
        raise KeyError(f"no settings section is a {kind.__name__}")

    def value(self, dotted: str) -> Any:
        """A value by its dotted name, such as `zipbench.users`."""
        value: Any = self
        for part in dotted.split("."):
            if part not in getattr(type(value), "model_fields", ()):
                raise SettingsError(f"no setting is called {dotted!r}")
            value = getattr(value, part)
        return value

    @property
    def home_directory(self) -> Path:
        """`home` as an absolute path."""
        return self.home.expanduser().absolute()


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()


def load_settings(profile: str | None = None) -> Settings:
    """Reads a profile and the environment.

    Raises:
        SettingsError: naming the key, where it was set, and what is allowed.
    """
    chosen = profile or os.environ.get(PREFIX + "PROFILE") or "sample"
    path = profile_path(chosen)
    values = _profile_values(path, ())
    _check_names(path)
    values["profile"] = chosen
    try:
        # The argument wins over ZIPP_PROFILE, which the environment would put in its place.
        return Settings(**values).model_copy(update={"profile": chosen})
    except ValidationError as error:
        raise SettingsError(_explain(error, path)) from error
    except UnreadableVariable as error:
        field = str(error).split('"')[1]
        raise SettingsError(
            f"environment variable {', '.join(_in_environment([field]))}: a list or section is "
            f"""written as JSON, such as {PREFIX}REDDIT__BOTS='["one", "two"]'"""
        ) from error


@dataclass(frozen=True)
class SettingFact:
    """One setting as people look it up: `name` is dotted, `value` of JSON types, secrets masked."""

    name: str
    value: Any
    source: Literal["default", "profile", "environment"]
    default: Any
    meaning: str


def described(chosen: Settings) -> Iterator[SettingFact]:
    """Every setting in the order of the sections, with where its value comes from."""
    defaults = Settings.model_construct()
    return _described((), chosen, chosen.model_dump(mode="json"), defaults.model_dump(mode="json"))


def _described(
    place: tuple[str, ...], model: BaseModel, values: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[SettingFact]:
    for key, field in type(model).model_fields.items():
        here, inner = (*place, key), getattr(model, key)
        if isinstance(inner, Section):
            yield from _described(here, inner, values[key], defaults[key])
            continue
        source: Literal["default", "profile", "environment"] = "default"
        if _in_environment(list(here)):
            source = "environment"
        elif values[key] != defaults[key]:
            source = "profile"
        value = values[key]
        if isinstance(value, str):
            value = _PASSWORD.sub(r"\1**********@", value)
        yield SettingFact(".".join(here), value, source, defaults[key], field.description or "")


def _profile_values(path: Path, extended_by: tuple[Path, ...]) -> dict[str, Any]:
    """A profile's values over those of the profile that it `extends`, section by section."""
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"profile {path} cannot be read: {error}") from error
    base = values.pop(EXTENDS, None)
    if base is None:
        return values
    if path in extended_by:
        raise SettingsError(f"profile {path} extends itself")
    return _merged(_profile_values(profile_path(str(base)), (*extended_by, path)), values)


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merged(base[key], value) if both else value
    return merged


def profile_path(profile: str) -> Path:
    """The TOML file of a profile; SettingsError lists the packaged ones."""
    packaged = PROFILES / f"{profile}.toml"
    if packaged.is_file():
        return packaged
    path = Path(profile).expanduser()
    if path.suffix == ".toml" and path.is_file():
        return path
    names = ", ".join(sorted(p.stem for p in PROFILES.glob("*.toml")))
    raise SettingsError(
        f"ZIPP_PROFILE={profile!r} is neither a packaged profile ({names}) nor a .toml file that exists"
    )


def _check_names(path: Path) -> None:
    """An environment variable with our prefix that names no setting is a typing error."""
    fields = Settings.model_fields
    for variable in os.environ:
        if not variable.startswith(PREFIX):
            continue
        first = variable[len(PREFIX) :].lower().split("__")[0]
        if first not in fields:
            near = [f"{s}__{first[len(s) + 1 :]}" for s in fields if first.startswith(f"{s}_")]
            near = near or difflib.get_close_matches(first, fields, n=1)
            hint = f"; did you mean {PREFIX}{near[0].upper()}?" if near else ""
            raise SettingsError(
                f"environment variable {variable}: no setting or section is called {first!r}{hint} "
                f"Allowed: {', '.join(sorted(fields))}"
            )


def _explain(error: ValidationError, path: Path) -> str:
    lines = []
    for problem in error.errors():
        location = [str(part) for part in problem["loc"]]
        key = ".".join(location)
        variables = _in_environment(location)
        source = f"environment variable {', '.join(variables)}" if variables else f"file {path}"
        line = f"setting {key} ({source}): {problem['msg']}"
        if problem["type"] == "extra_forbidden":
            known = _fields_at(location[:-1])
            near = difflib.get_close_matches(location[-1], known, n=1)
            line = f"setting {key} ({source}) does not exist"
            line += f"; did you mean {near[0]}?" if near else ""
            where = f"keys of [{'.'.join(location[:-1])}]" if location[1:] else "sections and keys"
            line += f"; allowed {where}: {', '.join(sorted(known))}"
        else:
            allowed = _allowed(location)
            given = "a secret" if _is_secret(location) else problem.get("input")
            line += f"; given: {given!r}" if isinstance(given, str | int | float | bool) else ""
            line += f"; allowed: {allowed}" if allowed else ""
        lines.append(line)
    return "\n".join(lines)


def _in_environment(location: list[str]) -> list[str]:
    """The variables that set a key, or the section or list around it, or keys inside it."""
    wanted = [part.upper() for part in location]
    found = []
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX):
            parts = name.upper().removeprefix(PREFIX).split("__")
            shorter = min(len(parts), len(wanted))
            if parts[:shorter] == wanted[:shorter]:
                found.append(name)
    return found


def _is_secret(location: list[str]) -> bool:
    return "SecretStr" in str(_field_at(location))


def _fields_at(location: list[str]) -> list[str]:
    model: Any = Settings if not location else _field_at(location).annotation
    return list(model.model_fields)


def _field_at(location: list[str]) -> Any:
    """The field of a key; of the list around it for an element of a list."""
    model: Any = Settings
    field = None
    for part in location:
        if part not in getattr(model, "model_fields", ()):
            break
        field = model.model_fields[part]
        model = field.annotation
    return field


def _allowed(location: list[str]) -> str:
    """What the schema says of a field, in words."""
    schema = Settings.model_json_schema()
    node: dict[str, Any] = schema
    for part in location:
        node = node.get("properties", {}).get(part, {})
        reference = node.get("$ref") or next(
            (entry["$ref"] for entry in node.get("allOf", []) if "$ref" in entry), None
        )
        if reference:
            node = schema["$defs"][reference.rsplit("/", 1)[-1]]
    if "properties" in node:
        return ""  # of a whole section: the message itself says which keys do not fit together
    for option in node.get("anyOf", []):
        node = {**option, **node} if option.get("type") != "null" else node
    words = {
        "const": "only {}",
        "enum": "one of {}",
        "type": "{}",
        "minimum": "≥ {}",
        "exclusiveMinimum": "> {}",
        "maximum": "≤ {}",
        "exclusiveMaximum": "< {}",
        "pattern": "matching {}",
    }
    parts = [text.format(node[name]) for name, text in words.items() if name in node]
    if node.get("description"):
        parts.append(f"({node['description']})")
    return " ".join(parts)
