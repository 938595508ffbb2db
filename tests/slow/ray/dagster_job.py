"""A Dagster job whose steps say on which process they ran.

Without postponed annotations: Dagster looks at the type of an op's context.
"""

import os

import dagster as dg

from zipp_dagster.platform.config import OperationSettings
from zipp_dagster.platform.executors import executor_of


@dg.op
def first() -> int:
    return os.getpid()


@dg.op
def second(context: dg.OpExecutionContext, before: int) -> None:
    context.log.info(f"first ran in {before}, second in {os.getpid()}")
    assert before != os.getpid()


@dg.job(executor_def=executor_of(OperationSettings(executor="ray")))
def two_steps():
    second(first())


def make_job() -> dg.JobDefinition:
    return two_steps
