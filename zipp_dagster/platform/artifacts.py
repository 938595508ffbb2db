"""The artifact decorator: what an asset is, apart from how it is run and where it is kept.

An artifact names its inputs and takes its settings by annotation; its body calls one domain
function on paths and returns what a person wants to see. `materialise` runs it, `dagster_assets`
shows it to Dagster.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_type_hints

from zipp_dagster.platform.code_version import CodeVersions
from zipp_dagster.platform.contracts import Contract
from zipp_dagster.platform.kept_facts import user_folder
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.sql_models import SqlModel
from zipp_dagster.platform.versions import TABLE_FILES, Version
from zipp_dagster.section import Section

_code_versions = CodeVersions(kept=user_folder())


class Skip(Exception):
    """Raised by an artifact's body: there is nothing to make, and the message says why."""


class Unchanged(Exception):
    """Raised by a body that tried again (`Draft.again`) in vain: the current version stays."""


@dataclass(frozen=True)
class Summary:
    """What a person wants to see of a materialisation.

    `metadata` holds numbers, short texts, lists and dicts; `tables` small lists of rows; `images`
    PNG bytes by title. None of them may hold text, names or pictures of real people.
    """

    rows: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    images: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckOutcome:
    """Whether a check holds, in words and numbers."""

    passed: bool
    description: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    severity: Literal["error", "warn"] = "error"


@dataclass(frozen=True)
class Check:
    """A named check of a draft, run before it may become current."""

    name: str
    function: Callable[..., CheckOutcome]
    blocking: bool = True

    @property
    def description(self) -> str:
        """The check function's docstring, first line."""
        return first_line(self.function.__doc__ or self.name)

    def run(self, draft: Draft, inputs: Inputs, platform: Any) -> CheckOutcome:
        """Calls the function; the platform is passed to those that ask for it."""
        wanted = "platform" in inspect.signature(self.function).parameters
        return self.function(draft, inputs, *((platform,) if wanted else ()))


class Input:
    """An input of an artifact: one version, or one for each partition.

    `skipped` says why there is nothing to read; reading a skipped input is an error.
    """

    def __init__(self, asset: str, versions: Sequence[Version]) -> None:
        self.asset = asset
        self.versions = tuple(versions)

    @property
    def skipped(self) -> str | None:
        """The reason where every version was skipped."""
        reasons = [version.skipped for version in self.versions]
        return reasons[0] if reasons and all(reasons) else None

    @property
    def version(self) -> Version:
        """The only version; ValueError for an input of several partitions."""
        if len(self.versions) != 1:
            raise ValueError(f"{self.asset} has {len(self.versions)} partitions: use `versions`")
        return self.versions[0]

    @property
    def directory(self) -> Path:
        """The only version's directory."""
        return self.version.directory

    def path(self, name: str) -> Path:
        """A file of the only version."""
        return self.directory / name

    def files(self, pattern: str = TABLE_FILES) -> list[Path]:
        """The matching files of all versions."""
        return [path for version in self.versions for path in version.files(pattern)]

    def table(self, columns: Sequence[str] | None = None) -> Any:
        """All rows as one pyarrow table: for small tables, or the small `columns` of a large one."""
        import pyarrow.parquet as parquet

        return parquet.read_table(self.files(), columns=None if columns is None else [*columns])

    def count(self) -> int:
        """The number of rows, as the files' footers say it."""
        import pyarrow.parquet as parquet

        return sum(parquet.read_metadata(path).num_rows for path in self.files())

    def rows(self) -> list[dict[str, Any]]:
        """All rows as dicts: for very small tables."""
        rows: list[dict[str, Any]] = self.table().to_pylist()
        return rows


class Inputs(Mapping[str, Input]):
    """The declared inputs of one materialisation, by asset name."""

    def __init__(self, entries: Mapping[str, Input]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Input:
        if name not in self._entries:
            raise KeyError(f"{name} is not declared in inputs=…; declared: {sorted(self._entries)}")
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def available(self, name: str) -> bool:
        """Whether an optional input was made (not skipped)."""
        return self[name].skipped is None


@dataclass(frozen=True)
class Artifact:
    """An asset's declaration. `function` is its body; tests may call it directly."""

    name: str
    group: str
    kinds: frozenset[str]
    owner: str
    description: str
    inputs: tuple[str, ...]
    function: Callable[..., Summary]
    partitioned: bool = False
    optional: frozenset[str] = frozenset()
    checks: tuple[Check, ...] = ()
    contract: Contract | None = None
    sql: SqlModel | None = None
    model_name: str | None = None
    pool: str | None = None
    external_state: Callable[..., str] | None = None
    version_by_content: bool = False
    after_publish: Callable[..., None] | None = None
    try_again: Callable[..., str] | None = None

    @cached_property
    def code_version(self) -> str:
        """Hash of what the code means; see `code_version`."""
        if self.sql is not None:
            return self.sql.code_version
        return _code_versions.of_function(self.function)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The body's parameters and their annotated types."""
        if self.sql is not None:
            return {}
        hints = get_type_hints(self.function)
        return {name: hints[name] for name in inspect.signature(self.function).parameters}

    @cached_property
    def sections(self) -> dict[str, type[Section]]:
        """Parameter name → the settings section that it takes."""
        return {
            name: kind
            for name, kind in self.parameters.items()
            if isinstance(kind, type) and issubclass(kind, Section)
        }

    def why_again(self, platform: Any, version: Version) -> str:
        """Why a version that is up to date is to be made again; empty where it is not."""
        return self.try_again(platform, version) if self.try_again and not version.skipped else ""

    @property
    def check_names(self) -> list[str]:
        """All checks of this artifact, the contract's first."""
        names = ["contract"] if self.contract else []
        return names + [check.name for check in self.checks]


def artifact(
    *,
    group: str,
    kinds: set[str],
    owner: str,
    inputs: Sequence[str] = (),
    optional: Sequence[str] = (),
    partitioned: bool = False,
    checks: Sequence[Check] = (),
    model_name: str | None = None,
    pool: str | None = None,
    external_state: Callable[..., str] | None = None,
    version_by_content: bool = False,
    after_publish: Callable[..., None] | None = None,
    try_again: Callable[..., str] | None = None,
) -> Callable[[Callable[..., Summary]], Artifact]:
    """Declares an asset whose name is the function's and whose description is its docstring.

    Args:
        group: The asset's group in the Dagster UI.
        kinds: Tags of technology, such as "duckdb".
        owner: `team:…` or an e-mail address.
        inputs: Names of the assets that the body reads.
        optional: Those inputs that may be skipped; where another input was skipped, this asset
            is skipped too, with the reason.
        partitioned: One partition a month of dumps.
        checks: Checks besides the contract's; a table's contract is found by the asset's name.
        model_name: The registered model in MLflow that each version of this asset becomes.
        pool: A concurrency pool (gpu, decode, llm).
        external_state: A function of the platform and the partition that returns a fingerprint of
            state that is neither an input, nor code, nor settings: a folder's content, an alias.
        version_by_content: The external state is all that the data version depends on, besides code
            and settings: an input that was made again with the same content changes nothing.
        after_publish: Called with the platform and the version once it is current, and again at the end
            of a `zipp run`: it must do the same twice.
        try_again: A function of the platform and an up-to-date version that says what failed for now in
            it and is to be tried again by this run, or nothing. The body finds the version in
            `Draft.again`, and raises `Unchanged` where nothing came of it.
    """

    def declare(function: Callable[..., Summary]) -> Artifact:
        unknown = set(optional) - set(inputs)
        if unknown:
            raise ValueError(f"{function.__name__}: optional {unknown} not among its inputs")
        return Artifact(
            name=function.__name__,
            group=group,
            kinds=frozenset(kinds),
            owner=owner,
            description=inspect.cleandoc(function.__doc__ or ""),
            inputs=tuple(inputs),
            function=function,
            partitioned=partitioned,
            optional=frozenset(optional),
            checks=tuple(checks),
            model_name=model_name,
            pool=pool,
            external_state=external_state,
            version_by_content=version_by_content,
            after_publish=after_publish,
            try_again=try_again,
        )

    return declare


def check(name: str, *, blocking: bool = True) -> Callable[[Callable[..., CheckOutcome]], Check]:
    """Declares a check: a function of the draft, the inputs, and the `platform` if it names it."""

    def declare(function: Callable[..., CheckOutcome]) -> Check:
        return Check(name, function, blocking)

    return declare


def sql_artifact(model: SqlModel) -> Artifact:
    """A SQL model as an artifact."""
    contract = model.contract
    return Artifact(
        name=model.name,
        group=contract.group or "warehouse",
        kinds=frozenset({"sql", "duckdb"}),
        owner=contract.owner or "team:warehouse",
        description=contract.description,
        inputs=model.inputs,
        function=_runs_as_sql,
        partitioned=contract.partitions == "months",
        optional=frozenset(contract.optional),
        contract=contract,
        sql=model,
    )


def _runs_as_sql(*_: Draft) -> Summary:
    raise TypeError("a SQL model is run by materialise(), not called")


def first_line(text: str) -> str:
    """The first line of a docstring."""
    return inspect.cleandoc(text).splitlines()[0] if text.strip() else ""
