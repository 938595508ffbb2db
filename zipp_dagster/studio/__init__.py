"""The studio: personalise in the browser, and blind human studies whose votes become scores.

What lives here: the web application (rooms Personalise, Study, Results), the store of studies and
votes, how a study is configured, planned, exported and simulated. What does not: rewriting and
drawing (`zipp_dagster.personal`), and what is done with the votes afterwards (`zipbench`).
The library does not know this package.
"""
