"""What all artifacts share: lake, artifact decorator, SQL models, contracts, lineage, registry.

Nothing here knows what a subreddit or a persona is.
"""
