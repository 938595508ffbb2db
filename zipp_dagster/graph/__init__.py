"""The bipartite user–community graph: interactions to CSR arrays, splits, features, batches.

What lives here: everything that turns the interactions table into arrays that an encoder can
read. What does not: the encoders, their losses and their evaluation (`zipp_dagster.encoder`).
"""
