"""The REST API of tasks and their runs.

`task_views` and `run_views` have the routes, `task_rows` and `run_rows` the database; `fields` checks what clients
send.
"""
