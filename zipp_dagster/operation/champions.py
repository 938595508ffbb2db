"""Champions: jobs that promote and roll back, and the sensor that sees an alias moved by hand."""

from typing import Any

import dagster as dg

from zipp_dagster.platform.dagster_assets import RESOURCES, platform_of
from zipp_dagster.platform.registry import CHAMPION


class PromoteConfig(dg.Config):
    """Which version becomes champion, and why."""

    model: str
    version: int
    why: str
    who: str = "Dagster job"


class RollbackConfig(dg.Config):
    """Whose previous champion comes back, and why."""

    model: str
    why: str
    who: str = "Dagster job"


@dg.op(required_resource_keys=set(RESOURCES), description="Moves the alias champion in MLflow.")
def promote_version(context: dg.OpExecutionContext, config: PromoteConfig) -> None:
    """Makes a version the champion; what is made from it becomes stale."""
    registry = platform_of(context.resources).registry
    version = registry.promote(config.model, config.version, who=config.who, why=config.why)
    context.log.info(f"{version.name} {version.version} is champion ({version.lake_version})")


@dg.op(required_resource_keys=set(RESOURCES), description="Makes the previous champion champion.")
def roll_back_version(context: dg.OpExecutionContext, config: RollbackConfig) -> None:
    """Makes the previous champion the champion again."""
    registry = platform_of(context.resources).registry
    version = registry.rollback(config.model, who=config.who, why=config.why)
    context.log.info(f"{version.name} {version.version} is champion ({version.lake_version})")


@dg.job(
    description="Promote a registered version: {model, version, why}. As `zipp models promote`."
)
def promote_model() -> None:
    """One alias, moved and written down."""
    promote_version()


@dg.job(description="Back to the champion before: {model, why}. As `zipp models rollback`.")
def roll_back_model() -> None:
    """One alias, moved back and written down."""
    roll_back_version()


def champion_sensor(job: Any, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """Asks for a run of what follows from a champion once its alias has moved."""

    @dg.sensor(
        name="champion_moved",
        job=job,
        minimum_interval_seconds=60,
        default_status=status,
        description="Sees a champion that changed, by promotion, rollback or by hand in MLflow; writes a "
        "move by hand into the model's history, and re-makes what follows.",
        required_resource_keys=set(RESOURCES),
    )
    def champion_moved(context: dg.SensorEvaluationContext) -> Any:
        registry = platform_of(context.resources).registry
        moved = []
        for name in registry.names():
            move = registry.audit(name)
            if move is not None:
                moved.append(f"{name}: {move.before} → {move.after} by hand")
        champions = {
            name: champion.version
            for name in registry.names()
            if (champion := registry.by_alias(name, CHAMPION)) is not None
        }
        state = ",".join(f"{name}={version}" for name, version in sorted(champions.items()))
        if context.cursor is None or state == context.cursor:
            return dg.SensorResult(
                skip_reason=f"champions: {state or 'none'}; none moved", cursor=state
            )
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(tags={"zipp/champions": state, "zipp/moved": "; ".join(moved)})
            ],
            cursor=state,
        )

    return champion_moved
