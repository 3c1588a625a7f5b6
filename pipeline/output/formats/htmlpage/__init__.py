"""The report as one page: `page` puts it together from the parts of the others."""
