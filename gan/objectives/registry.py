"""Objectives by name; a new objective is one more line here.

Modules are named, not imported: params.yaml is checked against this list without torch.
"""

OBJECTIVES = {
    "bce": "gan.objectives.bce",
    "wgan_gp": "gan.objectives.wgan_gp",
    "hinge": "gan.objectives.hinge",
    "lsgan": "gan.objectives.lsgan",
    "relativistic": "gan.objectives.relativistic",
}

LABELLED = ("bce", "lsgan")
"""Those that draw scores to labels, which can be smoothed."""
