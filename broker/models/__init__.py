"""The bodies of the API. One struct validates, documents and encodes.

Responses omit absent values and never have null. The integers of a job are always present. In requests JSON null, and
"" for a text or a time, mean "not given".
"""
