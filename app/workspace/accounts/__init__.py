"""Who calls, and the people, organisations and projects of the workspace.

Views call `credentials.authenticate` or `credentials.authenticate_in_project`. `users` has the REST views.
"""
