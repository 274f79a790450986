"""Families of networks by name; a new family is one more line here.

Modules are named, not imported: params.yaml is checked against this list without torch.
"""

FAMILIES = {
    "antialiased": "gan.models.antialiased",
    "dcgan": "gan.models.dcgan",
}
