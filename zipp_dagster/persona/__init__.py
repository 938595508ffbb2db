"""Personas: evidence under a token budget, verbalisation, guards, rewriting prompts as a person.

Knows no lake, no Dagster and no MLflow: paths, tables and DuckDB connections in; files and
dataclasses out. Pictures are elsewhere (`imaging`), and so are scores (`zipbench`).
"""
