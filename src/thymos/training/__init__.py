"""Recipe (what to do) and fit (one readable loop)."""
