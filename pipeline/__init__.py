"""What a finding goes through: pure functions from report, policy and knowledge to an enriched finding."""
