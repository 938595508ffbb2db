"""What all artifacts share: the lake, the artifact decorator, SQL models, contracts, lineage, registry, compute.

Nothing here knows what a subreddit or a persona is.
"""
