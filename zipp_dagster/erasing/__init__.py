"""Erasure on request, across the platform: record, find, rebuild, remove, and give a receipt.

What a tombstone is: `zipp_dagster.reddit.erasure`. What an erased version is:
`zipp_dagster.platform.erased`. The command is `zipp erase`; docs/erasure.md says what holds.
"""
