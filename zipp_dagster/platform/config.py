"""Settings of the platform itself: retention, MLflow, compute, web servers."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, SecretStr, model_validator

from zipp_dagster.section import Section


class LakeSettings(Section):
    """Where versions are kept, and for how long."""

    operational: ClassVar[frozenset[str]] = frozenset({"url", "cache_gib"})

    url: str | None = Field(
        None,
        pattern=r"^s3://[^/]+",
        description="S3-compatible storage of the lake, as s3://bucket/prefix, with credentials, "
        "region and endpoint in AWS's usual variables; empty: a folder below ZIPP_HOME.",
    )
    cache_gib: float = Field(
        50.0, ge=0, description="GiB of versions from lake.url that stay on this disk when unused."
    )
    keep_versions: int = Field(
        3, ge=1, description="Versions of each asset partition that `zipp prune` keeps."
    )
    keep_days: int = Field(
        90,
        ge=0,
        description="Days that `zipp prune` keeps Dagster's runs and ticks, and MLflow's runs, of what "
        "is pruned or failed.",
    )


class MlflowSettings(Section):
    """Where runs and registered models are recorded."""

    operational: ClassVar[frozenset[str]] = frozenset({"tracking_uri", "experiment"})

    tracking_uri: str | None = Field(
        None, description="Tracking and registry URI; empty: a SQLite file below ZIPP_HOME."
    )
    experiment: str = Field("zipp", min_length=1, description="Name of the MLflow experiment.")


class ComputeSettings(Section):
    """Which engine maps functions over items. Never what comes out."""

    operational: ClassVar[frozenset[str]] = frozenset(
        {
            "engine",
            "workers",
            "address",
            "connect_seconds",
            "max_retries",
            "in_flight",
            "min_actors",
            "max_actors",
            "autoscaling",
            "object_store_mib",
        }
    )

    engine: Literal["local", "ray"] = Field(
        "local",
        description="Engine: local runs on this machine, ray on a cluster (docs/ray.md).",
    )
    workers: int = Field(2, ge=1, le=256, description="Cores in use at once by the local engine.")
    address: str = Field(
        "auto",
        pattern=r"^(auto|local|[^/:\s]+:\d+)$",
        description="Ray's head as host:port; auto: the cluster that this machine belongs to; "
        "local: a cluster of this process alone. The process must run on a machine of the cluster.",
    )
    connect_seconds: float = Field(
        10.0, gt=0, le=600, description="How long Ray's head may take to answer."
    )
    max_retries: int = Field(
        3, ge=0, le=100, description="Times that an item is put in again after its worker was lost."
    )
    in_flight: int = Field(
        0, ge=0, description="Items given to Ray at once; 0: twice what the cluster runs at once."
    )
    min_actors: int = Field(
        1, ge=1, le=10_000, description="Workers that hold a model, to begin with."
    )
    max_actors: int = Field(
        64, ge=1, le=10_000, description="Workers that hold a model, at most; fewer without room."
    )
    autoscaling: bool = Field(
        False, description="Machines come by themselves: wait for room instead of failing."
    )
    object_store_mib: int = Field(
        512,
        ge=80,
        description="Shared memory of a `local` cluster; what does not fit is spilled to disk. For "
        "other clusters see `ray start --object-store-memory`.",
    )

    @model_validator(mode="after")
    def _bounds(self) -> ComputeSettings:
        if self.min_actors > self.max_actors:
            raise ValueError("compute.min_actors is more than compute.max_actors")
        return self


class ServerSettings(Section):
    """Where the web pages listen. Loopback unless you put a proxy with a password before them."""

    host: str = Field("127.0.0.1", description="Address that the web servers bind to.")
    dagster_port: int = Field(3000, ge=1, le=65535, description="Port of the Dagster UI.")
    mlflow_port: int = Field(5000, ge=1, le=65535, description="Port of the MLflow UI.")
    report_port: int = Field(8000, ge=1, le=65535, description="Port of the report.")


class OperationSettings(Section):
    """How the platform runs unattended."""

    operational: ClassVar[frozenset[str]] = frozenset(
        {
            "watch",
            "monthly_cron",
            "benchmark_cron",
            "erasure_cron",
            "retries",
            "retry_delay_seconds",
            "webhook_url",
            "pools",
            "executor",
        }
    )

    watch: bool = Field(
        False, description="Start with all sensors and schedules on, for unattended operation."
    )
    monthly_cron: str = Field(
        "0 4 3 * *", description="When the newest month is run again: dumps come in its first days."
    )
    benchmark_cron: str = Field("0 5 * * 1", description="When the benchmark is run again.")
    erasure_cron: str = Field(
        "0 2 * * *", description="When recorded erasures are carried out, if there are any."
    )
    retries: int = Field(
        2,
        ge=0,
        le=10,
        description="Tries after an error that may pass: a network, a busy database.",
    )
    retry_delay_seconds: float = Field(
        10.0, ge=0, le=3600, description="Pause before the first such try; doubled each time."
    )
    webhook_url: SecretStr | None = Field(
        None, description="Gets a JSON message for each failed run and each failed check."
    )
    executor: Literal["in_process", "ray"] = Field(
        "in_process",
        description="Where the steps of a Dagster run are executed: one after the other in the run's "
        "process, or each as a job of the Ray cluster (docs/ray.md).",
    )
    pools: dict[str, int] = Field(
        {"gpu": 1, "decode": 2, "llm": 4},
        description="How many steps of a concurrency pool run at once.",
    )
