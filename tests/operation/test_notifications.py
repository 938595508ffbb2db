"""Against a real server on loopback: what goes out, and what happens when nobody answers."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import pytest

from resources.settings import SettingsResource
from zipp_dagster.operation.notifications import NotificationError, notification_sensors, tell

SECRET_ROW = "alice wrote a very private sentence"


@pytest.fixture
def webhook():
    """A server that keeps what it is sent and answers with `status`."""

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["Content-Length"])
            server.received.append(json.loads(self.rfile.read(length)))
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    server.received, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.address = f"http://127.0.0.1:{server.server_port}/hook-with-secret"
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


@dg.asset
def broken():
    raise ValueError(SECRET_ROW)


@dg.asset(check_specs=[dg.AssetCheckSpec("few_nulls", asset="leaky")])
def leaky():
    yield dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description="3 of 9 rows",
        asset_key="leaky",
        check_name="few_nulls",
    )
    yield dg.MaterializeResult()


@dg.asset
def sound():
    return None


def evaluate(name: str, asset, instance):
    result = dg.materialize([asset], instance=instance, raise_on_error=False)
    sensor = next(s for s in notification_sensors(dg.DefaultSensorStatus.STOPPED) if s.name == name)
    failed = name == "tell_failed_runs"
    kind = dg.DagsterEventType.RUN_FAILURE if failed else dg.DagsterEventType.RUN_SUCCESS
    event = next(e for e in result.all_events if e.event_type == kind)
    context = dg.build_run_status_sensor_context(
        name, event, instance, result.dagster_run, resources={"settings": SettingsResource()}
    )
    return sensor(context.for_run_failure() if failed else context), result.run_id


def test_a_failed_run_is_told_with_its_step_and_kind_of_error_and_without_its_text(
    webhook, instance, environment
):
    with environment(ZIPP_OPERATION__WEBHOOK_URL=webhook.address):
        _, run = evaluate("tell_failed_runs", broken, instance)
    (message,) = webhook.received
    assert message["event"] == "run_failed" and message["run"] == run
    assert message["steps"] == [{"step": "broken", "error": "ValueError"}]
    assert "broken (ValueError)" in message["text"]
    assert SECRET_ROW not in json.dumps(message)


def test_a_failed_warning_is_told_with_its_count_and_a_sound_run_is_not(
    webhook, instance, environment
):
    with environment(ZIPP_OPERATION__WEBHOOK_URL=webhook.address):
        evaluate("tell_failed_checks", leaky, instance)
        evaluate("tell_failed_checks", sound, instance)
    (message,) = webhook.received
    assert message["checks"] == [
        {"asset": "leaky", "check": "few_nulls", "severity": "WARN", "description": "3 of 9 rows"}
    ]


def test_without_an_address_nothing_is_sent_and_the_tick_says_what_would_have_been(
    instance, environment
):
    with environment():
        evaluate("tell_failed_runs", broken, instance)
        skipped = tell({"text": "x failed"}, SettingsResource())
    assert "operation.webhook_url is not set; not sent: x failed" in skipped.skip_message


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_refuses_is_an_error_that_does_not_show_its_address(
    webhook, environment, status
):
    webhook.status = status
    with (
        environment(ZIPP_OPERATION__WEBHOOK_URL=webhook.address),
        pytest.raises(NotificationError, match=f"answered {status}") as error,
    ):
        tell({"text": "x"}, SettingsResource())
    assert "secret" not in str(error.value)


def test_a_webhook_that_is_not_there_is_an_error_that_does_not_show_its_address(environment):
    with (
        environment(ZIPP_OPERATION__WEBHOOK_URL="http://127.0.0.1:9/hook-with-secret"),
        pytest.raises(NotificationError, match="cannot be reached") as error,
    ):
        tell({"text": "x"}, SettingsResource())
    assert "secret" not in str(error.value) and error.value.__cause__ is None
