"""What a finding of an unknown kind looks like: its words held to a closed list, and the topics that have them."""
