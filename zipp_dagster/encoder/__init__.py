"""Encoders of users and communities: training, whole-graph inference, rankings, evaluation.

What lives here: GATv2 and its rivals, the two contrastive losses, the numba inference, the scores.
What does not: the graph's arrays and splits (`zipp_dagster.graph`), and the registry that says
which checkpoint is champion.
"""
