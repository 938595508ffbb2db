"""What runs when, and who is told: sensors, schedules, notifications, concurrency pools.

`zipp_dagster.automation` puts them together. What is made, and how, is elsewhere.
"""
