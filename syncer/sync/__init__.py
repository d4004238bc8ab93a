"""One pass over the accounts, and one account from its walk to its stored state."""
