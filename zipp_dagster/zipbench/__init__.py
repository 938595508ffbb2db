"""ZIPBench: cases × methods × metrics, with statistics that a reviewer would trust.

Metrics of a case, intervals, leaderboard, raking, pluralism, leaks, votes, promotion and the report
live here. Making the prompts and the images does not (`persona`, `imaging`); nor do Dagster, MLflow
or the lake.
"""
