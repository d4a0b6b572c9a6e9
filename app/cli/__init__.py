"""The command line: the window's services without a window.

Data goes to standard output, words to standard error. Exit codes are those of `app.core.errors`: 0 done, 2 usage, 3
sign-in needed, 4 not permitted, 5 not found, 6 offline or server trouble, 7 refused by policy, 8 a vendor's sign-in
needed, 130, 143 and 129 ended by SIGINT, SIGTERM and SIGHUP, 1 anything else. Door: `main.main`.
"""
