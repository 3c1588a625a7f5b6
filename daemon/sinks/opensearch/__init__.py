"""A sink that indexes records in OpenSearch or Elasticsearch."""
