"""The families of networks by name; here a new one is announced, with one line.

Modules are named, not imported: params.yaml is checked against this list without torch.
"""

FAMILIES = {
    "dcgan": "gan.models.dcgan",
    "upsample": "gan.models.upsample",
    "resnet": "gan.models.resnet",
}
