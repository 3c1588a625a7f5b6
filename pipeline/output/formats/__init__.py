"""Other forms of the same findings: each is a function of records that gives bytes piece by piece."""
