from __future__ import annotations

import sys

import dagster as dg

from zipp_dagster.dead_runs import LOCK_TAG, RUNNING
from zipp_dagster.definitions import defs
from zipp_dagster.operation import erasures
from zipp_dagster.operation.instance import instance_folder, open_instance


def test_a_killed_zipp_run_does_not_keep_the_nightly_erasures_waiting(
    tmp_path, environment, mlflow_store, monkeypatch
):
    home = tmp_path / "home"
    mlflow_store(home / "mlflow")
    monkeypatch.setattr(erasures, "waiting", lambda platform: "1 tombstones wait")
    monkeypatch.setattr(erasures, "COMMAND", (sys.executable, "-c", "raise SystemExit('reached')"))
    monkeypatch.setattr(erasures, "WAIT_SECONDS", 0)
    lock = instance_folder(home) / RUNNING / "gone.lock"
    with environment(ZIPP_HOME=home), open_instance(home) as instance:
        killed = dg.DagsterRun(
            "full_pipeline", status=dg.DagsterRunStatus.STARTED, tags={LOCK_TAG: str(lock)}
        )
        instance.add_run(killed)
        done = defs.resolve_job_def("carry_out_erasures").execute_in_process(
            instance=instance, raise_on_error=False
        )
        assert instance.get_run_by_id(killed.run_id).status is dg.DagsterRunStatus.FAILURE
    (failure,) = [event for event in done.all_events if event.is_step_failure]
    assert "reached" in failure.step_failure_data.error.message
