"""The stand-in for the vendor that keeps people's repositories (docs/wire.md, "Repositories").

`repositories` has the bare git repositories below the data folder, `rows` the accounts that people have connected,
`views` the REST API, and `connecting` the page on which a person connects an account.
"""
