"""What every service of the embedded AWS builds on: the account, errors, names, requests, the clock."""
