"""The curated, versioned knowledge base: what each finding class is, means and maps to, and what to do about it."""
