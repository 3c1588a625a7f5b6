"""Our curated, versioned facts: what each finding class is, means, maps to, and what to do about it."""
