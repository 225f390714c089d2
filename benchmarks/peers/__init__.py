"""The same two-hop work in other engines, each written the way its own documentation advises."""
