"""The subcommands of `zipp`, one module a topic; `zipp_dagster.cli` puts them together."""
