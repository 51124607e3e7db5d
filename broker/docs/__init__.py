"""The documentation: pages in Markdown, their rendering as HTML, and the index for search."""
