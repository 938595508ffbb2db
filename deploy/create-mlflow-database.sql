-- Run once by PostgreSQL's image, when its volume is new: Dagster's database is POSTGRES_DB.
CREATE DATABASE mlflow OWNER zipp;
