"""The command line: the window's services without a window.

Data goes to standard output, words to standard error. Exit codes are those of `app.core.errors`: 0 done, 2 usage, 3
sign-in needed, 4 not permitted, 5 not found, 6 offline or server trouble, 7 refused by policy, 130 interrupted, 1
anything else. Door: `main.main`.
"""
