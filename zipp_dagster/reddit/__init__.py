"""Reddit dumps in, clean typed tables out: reading, record schemas, pseudonyms, erasure, media.

Nothing here knows Dagster, the lake or settings files: paths and keys come in, Parquet files and
reports go out. Aggregation of the tables is SQL and lives in `dbt_like_sql/`.
"""
