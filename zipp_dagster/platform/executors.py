"""Where the steps of a Dagster run are executed, as the settings say."""

from __future__ import annotations

import dagster as dg

from zipp_dagster.platform.config import OperationSettings
from zipp_dagster.platform.ray_connection import ComputeError


def executor_of(operation: OperationSettings) -> dg.ExecutorDefinition:
    """The executor of `operation.executor`.

    Ray's job server is found by the environment variable RAY_API_SERVER_ADDRESS, else on this machine.

    Raises:
        ComputeError: dagster-ray is not installed.
    """
    if operation.executor == "in_process":
        return dg.in_process_executor
    try:
        from dagster_ray import ray_executor
    except ImportError as error:
        raise ComputeError(
            "operation.executor is ray, but dagster-ray is not installed: pip install "
            "'zipp_dagster[ray]', or set ZIPP_OPERATION__EXECUTOR=in_process"
        ) from error
    # A step waits for its items: the cores that they use are asked for by them.
    executor: dg.ExecutorDefinition = ray_executor.configured({"ray": {"num_cpus": 1}})
    return executor
